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
        func has(_ name: String) -> Bool { !symbols.functions(named: name).isEmpty }
        let raises = has("_Unwind_RaiseException") || has("_Unwind_Backtrace")
        let isNongnu = symbols.functions.contains { $0.name.hasPrefix("_ULx86_64_") || $0.name.hasPrefix("_Ux86_64_") }
        let isLLVM = has("unw_step") || has("__unw_step") || has("__unw_init_local")
        kind = isNongnu ? .nongnu : isLLVM ? .llvm : raises ? .libgcc : .none
        var importsUnwinder = false
        if let imports = try? file.dynamicSymbols {
            for symbol in imports where !symbol.isDefined {
                let name = imports.name(of: symbol)
                if name == "dl_iterate_phdr" { iterates = true }
                if name.hasPrefix("_Unwind_") { importsUnwinder = true }
            }
        }
        // A static program has all of it within itself.
        if raises || isLLVM || isNongnu, has("dl_iterate_phdr") { iterates = true }
        if kind == .libgcc || kind == .none {
            finders = symbols.functions(named: "_Unwind_Find_FDE").map { $0.address..<($0.address &+ max($0.size, 1)) }
        }
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
}
