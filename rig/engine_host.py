"""An engine that others can find and talk to: the control channel opened and made known, as long as the engine lives."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from drivers.errors import RigError
from rig.control_server import ControlServer
from rig.engine import Engine
from rig.engine_file import new_token, publish_engine
from rig.provenance import now_label


@dataclass(frozen=True, slots=True)
class Channel:
    """The open channel; without a `server` nobody else can follow, and `trouble` says why."""

    server: ControlServer | None
    trouble: str = ""

    @property
    def listeners(self) -> int:
        """Get how many follow."""
        return 0 if self.server is None else self.server.listeners


@contextmanager
def hosted(engine: Engine) -> Generator[Channel]:
    """Let others follow and command an engine of this process. A channel that cannot be opened keeps nothing from running."""
    token, bench = new_token(), engine.bench
    try:
        server = ControlServer(engine, token, log=engine.note)
    except OSError as error:
        yield Channel(None, f"Nobody else can follow this run: {error.strerror or error}.")
        return
    with ExitStack() as stack:
        stack.callback(lambda: server.close(engine.why_it_ended or "the engine has nothing more to do"))
        try:
            stack.enter_context(
                publish_engine(
                    port=server.port,
                    token=token,
                    bench=engine.bench_path,
                    resources=[getattr(bench, role).resource for role in bench.roles()],
                    simulated=engine.simulated,
                    started_label=now_label(),
                )
            )
        except RigError as error:
            yield Channel(None, f"Nobody else can follow this run: {error.what}")
            return
        engine.listen(server.publish)
        engine.commanded_by(lambda: server.lease)
        yield Channel(server)
