"""The command line: reads arguments, calls the engine, shows what came of it. Nothing imports it."""
