"""How a candidate replaces stable: spec, pure state machine, controller."""
