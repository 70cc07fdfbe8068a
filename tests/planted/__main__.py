"""Write the table of planted bugs into docs/proof.md."""

from __future__ import annotations

from tests.planted.page import PAGE, rendered

if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
