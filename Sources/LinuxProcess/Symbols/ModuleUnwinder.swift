import ELF

/// What a module has of an unwinder: of one that throws exceptions, or walks the stack.
///
/// Unwinders look for the description of each frame in different ways. libgcc's asks a function of its own,
/// `_Unwind_Find_FDE`; LLVM's libunwind has one of that name, too, but does not ask it: it goes through the program headers of
/// all modules, with `dl_iterate_phdr`, as do the libunwind of Savannah and older ones of libgcc.
package struct ModuleUnwinder: Sendable {
    /// The names that an unwinder is known by.
    package enum Kind: Sendable, Equatable {
        /// None, or one without symbols.
        case none
        case libgcc, llvm, nongnu
    }

    package var kind: Kind
    /// Where libgcc's unwinder asks: addresses of the file and sizes.
    package var finders: [Range<UInt64>] = []
    /// It has libgcc's, but where it asks cannot be found.
    package var hidesFinder = false
    /// It calls `dl_iterate_phdr`.
    package var iterates = false
    /// Its exceptions go to an unwinder that is within it, and has no symbols any more.
    package var mayHideUnwinder = false

    package init(_ file: ELFFile, _ symbols: ModuleSymbols) {
        let names = Names(symbols)
        kind = names.isNongnu ? .nongnu : names.isLLVM ? .llvm : names.raises ? .libgcc : .none
        var importsUnwinder = false
        if let imports = try? file.dynamicSymbols {
            for symbol in imports where !symbol.isDefined {
                let name = imports.name(of: symbol)
                if name == "dl_iterate_phdr" { iterates = true }
                if name.hasPrefix("_Unwind_") { importsUnwinder = true }
            }
        }
        // A static program has all of it within itself.
        if kind != .none, names.hasIterator { iterates = true }
        if kind == .libgcc || kind == .none { finders = names.finders }
        if finders.isEmpty {
            switch StaticUnwinder.find(in: file) {
            case .none: break
            case .unknown: hidesFinder = true
            case .found(let range): finders = [range]
            }
        }
        mayHideUnwinder =
            kind == .none && finders.isEmpty && iterates && !importsUnwinder && file.section(named: ".gcc_except_table") != nil
    }

    /// What the names of a module's functions tell, in one pass: there may be a hundred thousand.
    private struct Names {
        var raises = false
        var isLLVM = false
        var isNongnu = false
        var hasIterator = false
        var finders: [Range<UInt64>] = []

        init(_ symbols: ModuleSymbols) {
            for index in symbols.functions.indices {
                if note(symbols.functions[index].name) { addFinder(symbols.functions[index]) }
                if symbols.functions[index].aliases.isEmpty { continue }
                for alias in symbols.functions[index].aliases where note(alias) { addFinder(symbols.functions[index]) }
            }
        }

        /// - Returns: whether it is what libgcc's unwinder asks.
        private mutating func note(_ name: String) -> Bool {
            var bytes = name.utf8.makeIterator()
            switch (bytes.next(), bytes.next()) {
            case (UInt8(ascii: "_"), UInt8(ascii: "U")), (UInt8(ascii: "_"), UInt8(ascii: "_")), (UInt8(ascii: "u"), UInt8(ascii: "n")),
                (UInt8(ascii: "d"), UInt8(ascii: "l")):
                break
            default: return false
            }
            switch name {
            case "_Unwind_Find_FDE": return true
            case "_Unwind_RaiseException", "_Unwind_Backtrace": raises = true
            case "unw_step", "__unw_step", "__unw_init_local": isLLVM = true
            case "dl_iterate_phdr": hasIterator = true
            default: if name.hasPrefix("_ULx86_64_") || name.hasPrefix("_Ux86_64_") { isNongnu = true }
            }
            return false
        }

        private mutating func addFinder(_ function: FunctionSymbol) {
            let range = function.address..<(function.address &+ max(function.size, 1))
            if finders.last != range { finders.append(range) }
        }
    }
}
