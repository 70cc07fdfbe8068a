"""docs/adding-an-entity.md, followed step by step in a copy of the code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.commands import commands
from tests.docs.pages import CHECKOUT, Block, blocks
from tests.servers import MariaDb, database_of

_PAGE = CHECKOUT / "docs" / "adding-an-entity.md"
_ENTITIES = Path("service/entities")
_DECODE = """
import json, sys
from service.core.types import Partition, Record
from service.entities.registry import ENTITIES
from service.formats.native import decoder

event = decoder(ENTITIES["suppliers"])(Record(Partition("suppliers", 0), 1, 0, b"5", sys.argv[1].encode()))
print(json.dumps(dict(event.columns), default=str))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the page changes."""
    for folder in ("service", "migrations", "docs"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("alembic.ini", "pyproject.toml"):
        shutil.copy(CHECKOUT / file, tmp_path / file)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def test_the_page_adds_an_entity_and_a_column(copy: Path, mariadb: MariaDb, migrated_url: str) -> None:
    """Every step of it, on a real MariaDB; at the end autogenerate has nothing left to do."""
    declaration, listing, field = texts("python")
    suppliers, _, segment, *_ = [block for block in blocks(_PAGE) if block.language == "sh"]
    (copy / _ENTITIES / "supplier.py").write_text(declaration)
    list_entity(copy / _ENTITIES / "registry.py", listing)
    run(copy, migrated_url, suppliers)
    assert columns(mariadb, migrated_url, "suppliers")[1:5] == ["name", "status", "credit_limit", "contacts"]

    declare_field(copy / _ENTITIES / "customer.py", field)
    run(copy, migrated_url, segment)
    assert "segment" in columns(mariadb, migrated_url, "customers")
    contract = (copy / "docs" / "data-contract.md").read_text(encoding="utf-8")
    assert "| `segment` | VARCHAR(32) |" in contract
    assert "### `suppliers`" in contract


def test_the_example_of_the_page_is_decoded(copy: Path) -> None:
    """To the columns that stand beside it."""
    declaration, listing, _ = texts("python")
    (copy / _ENTITIES / "supplier.py").write_text(declaration)
    list_entity(copy / _ENTITIES / "registry.py", listing)
    [text] = texts("json")
    example: dict[str, Any] = json.loads(text)
    value = json.dumps(example["value"])
    assert json.loads(printed(copy, sys.executable, "-c", _DECODE, value)) == example["event"]["columns"]


def texts(language: str) -> list[str]:
    """The blocks of the page in one language."""
    return [block.text for block in blocks(_PAGE) if block.language == language]


def list_entity(registry: Path, listing: str) -> None:
    """The import beside the others, the line at the end of the list."""
    imported, _, line = listing.splitlines()
    code = registry.read_text().replace("\nENTITIES", f"{imported}\n\nENTITIES", 1)
    registry.write_text(code.replace("        orders,\n", f"        orders,\n{line}\n"))


def declare_field(entity: Path, field: str) -> None:
    """One more at the end of the fields."""
    last = '        json_text("attributes"),\n'
    entity.write_text(entity.read_text().replace(last, last + field))


def run(copy: Path, url: str, block: Block) -> None:
    """Run every command of a block."""
    for command in commands(block):
        printed(copy, "bash", "-euc", command.text, DATABASE_URL=url)


def printed(copy: Path, *command: str, **variables: str) -> str:
    """What a command prints that sees the copy instead of this checkout, and succeeds."""
    environment = {**os.environ, "PYTHONPATH": str(copy), **variables}
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def columns(mariadb: MariaDb, url: str, table: str) -> list[object]:
    """The columns of a table, in order."""
    return [row[0] for row in mariadb.execute(f"SHOW COLUMNS FROM {table}", database_of(url))]
