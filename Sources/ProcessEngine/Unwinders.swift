import LinuxProcess

/// The unwinders that a process has at a moment, and how each is told of our code.
struct Unwinders: Sendable {
    /// The functions that libgcc's ask for the description of a frame.
    var finders: [FunctionInfo] = []
    /// `dl_iterate_phdr`, where the others look for it; empty when there are none.
    var iterators: [FunctionInfo] = []
    /// The code of modules that call it.
    var callers: [Range<UInt64>] = []
    /// Why one of them cannot be told.
    var problem: String?

    /// The functions that are to be hooked.
    var hooks: [FunctionInfo] { finders + iterators }
}

extension FunctionTable {
    /// The unwinders of the modules that are there now. What each module has is looked up once.
    mutating func unwinders() -> Unwinders {
        var result = Unwinders()
        var needsIterator = false
        readSymbols(of: order)
        for path in order {
            guard let module = module(at: path), let unwinder = unwinder(of: path) else { continue }
            for finder in unwinder.finders {
                result.finders.append(
                    FunctionInfo(
                        name: "_Unwind_Find_FDE", module: module.name, modulePath: path,
                        address: finder.lowerBound &+ module.loadBias, size: UInt64(finder.count)))
            }
            if unwinder.iterates { result.callers += module.codeRanges }
            if unwinder.hidesFinder {
                result.problem = "the unwinder within \(module.name) cannot be found"
            } else if unwinder.kind != .none, unwinder.finders.isEmpty, !unwinder.iterates {
                result.problem = "how the unwinder of \(module.name) finds frames is not known"
            } else if unwinder.iterates, unwinder.finders.isEmpty, unwinder.kind != .none || unwinder.mayHideUnwinder {
                needsIterator = true
            }
        }
        if needsIterator {
            result.iterators = named("dl_iterate_phdr")
            if result.iterators.isEmpty { result.problem = "the program's unwinder uses dl_iterate_phdr, which cannot be found" }
        }
        return result
    }
}
