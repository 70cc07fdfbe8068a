"""The schema's history. `alembic` reads it by alembic.ini, `upsertd migrate` by `alembic_config`."""

from __future__ import annotations

from pathlib import Path
from ssl import SSLContext

from alembic.config import Config
from alembic.script import ScriptDirectory


def alembic_config(url: str | None = None, ssl: SSLContext | None = None) -> Config:
    """What Alembic's commands take, without alembic.ini: an installed package has none.

    Without `url` the migrations load the settings themselves. Alembic's commands start an event loop of
    their own: from inside a loop, call them in a thread.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes.update(url=url, ssl=ssl)
    return config


def revisions() -> tuple[str, ...]:
    """All revisions that this code knows, the newest first: what `alembic_version` is compared with."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return tuple(script.revision for script in scripts.walk_revisions())
