"""TPC-H's customers, parts and orders as the `data` of change events.

Called by `load`. The tables are written once by `tpchgen-cli` into the cache folder of the test servers.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from pathlib import Path

from tests.servers.folders import cache_folder

LINES_PER_ORDER = 4
# Enough for 150,000 unique records of each entity; the lines set the size of the files.
_SCALES = {"customer": "1", "part": "1", "orders": "0.1", "lineitem": "0.1"}
_ORDER_STATUS = {"O": "open", "F": "fulfilled", "P": "partial"}

Data = Mapping[str, object]
Cells = Mapping[str, str]


def customers() -> Iterator[tuple[int, Data]]:
    """Every customer: its id and its after-image."""
    for row in _read("customer"):
        yield (
            int(row["c_custkey"]),
            {
                "email": f"{row['c_name'].lower().replace('#', '.')}@example.test",
                "name": row["c_name"],
                "phone": row["c_phone"],
                "status": "active",
                "address": {"street": row["c_address"], "nation": int(row["c_nationkey"])},
                "attributes": {"segment": row["c_mktsegment"], "balance": Decimal(row["c_acctbal"])},
            },
        )


def products() -> Iterator[tuple[int, Data]]:
    """Every product."""
    for row in _read("part"):
        yield (
            int(row["p_partkey"]),
            {
                "sku": f"P-{row['p_partkey']}",
                "name": row["p_name"],
                "description": row["p_comment"],
                "category": row["p_type"],
                "price": Decimal(row["p_retailprice"]),
                "currency": "USD",
                "stock_quantity": int(row["p_size"]),
                "status": "active",
                "attributes": {name: row[f"p_{name}"] for name in ("mfgr", "brand", "container")},
            },
        )


def orders() -> Iterator[tuple[int, Data]]:
    """Every order with four lines: TPC-H's orders have one to seven, four on the average."""
    items = _read("lineitem")
    for row in _read("orders"):
        lines = [_line(number, item) for number, item in enumerate(islice(items, LINES_PER_ORDER), 1)]
        yield (
            int(row["o_orderkey"]),
            {
                "customer_id": int(row["o_custkey"]),
                "order_number": f"O-{row['o_orderkey']}",
                "status": _ORDER_STATUS[row["o_orderstatus"]],
                "currency": "USD",
                "total": Decimal(row["o_totalprice"]),
                "placed_at": f"{row['o_orderdate']}T00:00:00Z",
                "lines": lines,
            },
        )


READERS: Mapping[str, Callable[[], Iterator[tuple[int, Data]]]] = {
    "customers": customers,
    "products": products,
    "orders": orders,
}


def _line(number: int, item: Cells) -> Data:
    quantity = Decimal(item["l_quantity"])
    unit_price = (Decimal(item["l_extendedprice"]) / quantity).quantize(Decimal("0.0001"))
    product = int(item["l_partkey"])
    return {"line_no": number, "product_id": product, "quantity": quantity, "unit_price": unit_price}


def _read(table: str) -> Iterator[dict[str, str]]:
    with _file(table).open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _file(table: str) -> Path:
    """The table's file; made in a temporary folder and renamed, so that two runs do not collide."""
    scale = _SCALES[table]
    file = cache_folder() / f"tpch-{scale}-{table}.csv"
    if not file.exists():
        program = str(Path(sys.executable).with_name("tpchgen-cli"))
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            command = [program, "csv", "-q", "-s", scale, "-o", scratch, "-T", table]
            subprocess.run(command, check=True, timeout=300)
            (Path(scratch) / f"{table}.csv").rename(file)
    return file
