"""What an engine tells, made of what it knows: pure."""

from drivers.errors import Reason, RefusedError
from rig.control import Begun, Ended, EngineStatus, ErrorWords
from rig.hand_control import hardware_words
from rig.report.summary import told_error
from rig.run_result import RunResult
from rig.run_state import Outcome, Progress, exit_code


def begun(status: EngineStatus, duration_s: float) -> Begun:
    """A run has begun, of which `status` says what it is; `duration_s` is its price (s)."""
    told = status.model_dump(include={"title", "sample", "measurement", "mode", "file", "shots_planned", "simulated"})
    return Begun(**told, duration_s=duration_s)


def ended(result: RunResult, why: str) -> Ended:
    """A run has ended; its results are in its file. `why` is who stopped it."""
    outcome = result.outcome
    return Ended(
        file=str(result.path.resolve()),  # those who follow may be in another folder
        state=outcome.reason.value,
        why=why,
        exit_code=exit_code(outcome),
        outcome={name: value for name, value in result.as_json().items() if name != "results"},
        hardware=hardware_words(outcome.safe),
        error=None if outcome.fault is None else words_of(outcome.fault),
    )


def latch_of(outcome: Outcome) -> str:
    """Why nothing may be started any more before somebody has looked; "" when all is well."""
    if outcome.fault is None and outcome.safe.safe:
        return ""
    return str(outcome.fault or outcome.safe).partition("\n")[0]


def words_of(error: BaseException) -> ErrorWords:
    """The words of an error, a defect of the program included, under its own name."""
    return ErrorWords.of(told_error(error)).model_copy(update={"kind": type(error).__name__})


def left_s(progress: Progress, elapsed_s: float) -> float | None:
    """How long the rest of a run takes if it goes on like this (s); None before the first shot."""
    if not 0 < progress.shots_done:
        return None
    return elapsed_s * (progress.shots_planned - progress.shots_done) / progress.shots_done


def refused(code: str, what: str, next_step: str = "") -> RefusedError:
    """A command that is not done, for one reason."""
    return RefusedError(what, (Reason(code, "", what),), where="engine", next_step=next_step)
