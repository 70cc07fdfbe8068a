"""The version after this one: the same code with one migration more. Called by `test_upgrades`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import migrations

REVISION = "9999"
COLUMN = "nickname"

_MIGRATION = f'''
"""A column more."""

import sqlalchemy as sa
from alembic import op

revision = "{REVISION}"
down_revision = "{migrations.revisions()[0]}"


def upgrade() -> None:
    op.add_column("customers", sa.Column("{COLUMN}", sa.String(64)))


def downgrade() -> None:
    op.drop_column("customers", "{COLUMN}")
'''


def make_next_version(folder: Path) -> dict[str, str]:
    """Put it into `folder`; returns what a process needs in its environment to be of that version."""
    ours = Path(migrations.__file__).parent
    shutil.copytree(ours, folder / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "migrations" / "versions" / f"{REVISION}_one_more.py").write_text(_MIGRATION)
    others = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), others]))}
