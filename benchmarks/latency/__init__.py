"""How long an event takes until it is visible: under rising load, and around bursts."""
