import Testing

/// One after the other, because some of them measure the memory of the process.
@Suite(.serialized) enum FileTests {}
