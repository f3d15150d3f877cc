"""One target a module: its constant TARGET."""
