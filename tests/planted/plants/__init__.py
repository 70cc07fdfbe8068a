"""How each bug gets into the service: functions that replace a piece of it for one test.

Each takes pytest's `MonkeyPatch`, which takes it out again; its docstring says where it cuts in. Nothing of
this can be switched on in the service itself.
"""
