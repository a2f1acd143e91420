"""One module for each change of the schema; a module that was released never changes."""
