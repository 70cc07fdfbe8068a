"""Real data: TPC-H's customers, parts and orders with their lines as rows of upsertd's entities.

`workload` draws from it. The tables are written once by `tpchgen-cli` into the cache folder of the tests and
read from there afterwards.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import groupby, islice
from pathlib import Path

from tests.e2e.jsontext import Literal, encode
from tests.e2e.messages import Line
from tests.servers.folders import cache_folder

SCALE_FACTOR = "0.01"
_NAMES = ("customer", "part", "orders", "lineitem")
_ORDER_STATUS = {"O": "open", "F": "fulfilled", "P": "partial"}


@dataclass(frozen=True, slots=True)
class Row:
    """One entity's after-image: its columns as SQL values (JSON columns as `Literal`), its lines."""

    entity_id: int
    columns: Mapping[str, object]
    lines: Mapping[int, Line] | None = None


@cache
def rows(entity: str, limit: int) -> tuple[Row, ...]:
    """The first `limit` rows of `customer`, `product` or `order`."""
    readers = {"customer": _customers, "product": _products, "order": _orders}
    return tuple(islice(readers[entity](), limit))


def _customers() -> Iterator[Row]:
    for row in _read("customer"):
        address = {"street": row["c_address"], "nation": int(row["c_nationkey"])}
        attributes = {
            "segment": row["c_mktsegment"],
            "balance": Literal(row["c_acctbal"]),
            "note": row["c_comment"],
        }
        yield Row(
            int(row["c_custkey"]),
            {
                "email": f"{row['c_name'].lower().replace('#', '.')}@example.test",
                "name": row["c_name"],
                "phone": row["c_phone"],
                "status": "active",
                "address": Literal(encode(address)),
                "attributes": Literal(encode(attributes)),
            },
        )


def _products() -> Iterator[Row]:
    for row in _read("part"):
        attributes = {name: row[f"p_{name}"] for name in ("mfgr", "brand", "container")}
        yield Row(
            int(row["p_partkey"]),
            {
                "sku": f"P-{row['p_partkey']}",
                "name": row["p_name"],
                "description": row["p_comment"],
                "category": row["p_type"],
                "price": Decimal(row["p_retailprice"]),
                "currency": "USD",
                "stock_quantity": int(row["p_size"]),
                "attributes": Literal(encode(attributes)),
            },
        )


def _orders() -> Iterator[Row]:
    # Both tables are in the order of their keys, and every order has lines.
    items = groupby(_read("lineitem"), key=lambda item: item["l_orderkey"])
    for row, (order_key, group) in zip(_read("orders"), items, strict=True):
        assert order_key == row["o_orderkey"]
        yield Row(
            int(row["o_orderkey"]),
            {
                "customer_id": int(row["o_custkey"]),
                "order_number": f"O-{row['o_orderkey']}",
                "status": _ORDER_STATUS[row["o_orderstatus"]],
                "currency": "USD",
                "total": Decimal(row["o_totalprice"]),
                "placed_at": datetime.fromisoformat(row["o_orderdate"]),
            },
            {int(item["l_linenumber"]): _line(item) for item in group},
        )


def _line(item: Mapping[str, str]) -> Line:
    quantity = Decimal(item["l_quantity"])
    unit_price = (Decimal(item["l_extendedprice"]) / quantity).quantize(Decimal("0.0001"))
    return Line(int(item["l_partkey"]), quantity, unit_price)


def _read(table: str) -> Iterator[dict[str, str]]:
    with (_folder() / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


@cache
def _folder() -> Path:
    """The folder with the tables; made in a temporary one and renamed, so that two runs do not collide."""
    folder = cache_folder() / f"tpch-{SCALE_FACTOR}"
    if folder.is_dir():
        return folder
    program = Path(sys.executable).with_name("tpchgen-cli")
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        made = Path(scratch) / "tables"
        tables = ["-o", str(made), "-T", ",".join(_NAMES)]
        command = [str(program), "csv", "-q", "-s", SCALE_FACTOR, *tables]
        made.mkdir()
        subprocess.run(command, check=True, timeout=120)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder
