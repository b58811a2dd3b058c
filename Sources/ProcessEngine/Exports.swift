// Patterns, events, reports and errors are the same for both engines; whoever imports one of these has them.
@_exported import Engine
