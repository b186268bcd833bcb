"""The doors: command line, REST, chat and the wiring that builds every object."""
