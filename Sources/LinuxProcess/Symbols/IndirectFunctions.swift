import ELF

/// Which implementation an indirect function (IFUNC) has chosen in a running process. The dynamic linker has
/// asked the resolver already and written its answer into the relocation slots of the modules that call it.
package enum IndirectFunctions {
    /// Relocation types by machine.
    private struct Types {
        var irelative: UInt32
        var symbolic: [UInt32]

        init?(_ machine: Machine) {
            switch machine.rawValue {
            // R_X86_64_IRELATIVE; R_X86_64_64, GLOB_DAT, JUMP_SLOT
            case 62: (irelative, symbolic) = (37, [1, 6, 7])
            // R_AARCH64_IRELATIVE; ABS64, GLOB_DAT, JUMP_SLOT
            case 183: (irelative, symbolic) = (1032, [257, 1025, 1026])
            default: return nil
            }
        }
    }

    /// Fills in `resolvedAddress` of a module's indirect functions as far as the process knows them.
    package static func resolve(
        _ symbols: inout ModuleSymbols, of module: Module, among modules: [Module], memory: borrowing ProcessMemory
    ) {
        var left: [UInt64: [Int]] = [:]
        for (index, function) in symbols.functions.enumerated()
        where function.kind == .indirect && function.resolvedAddress == nil {
            left[function.address, default: []].append(index)
        }
        guard !left.isEmpty, let types = Types(module.file.machine) else { return }

        let index = UnwindIndex(module.file)
        func accept(resolver: UInt64, slot: UInt64) {
            guard let indices = left[resolver], let value = try? memory.load(UInt64.self, at: slot),
                // An unbound slot points to the caller's PLT, an overridden one into another module.
                module.hasCode(at: value), value &- module.loadBias != resolver
            else { return }
            let address = value &- module.loadBias
            var size = symbols.function(at: address)?.size
            if size == nil, let range = index?.range(containing: address), range.lowerBound == address {
                size = UInt64(range.count)
            }
            for index in indices {
                symbols.functions[index].resolvedAddress = address
                symbols.functions[index].resolvedSize = size
            }
            left[resolver] = nil
        }

        // The module's own calls: the addend is the resolver.
        for relocation in module.file.loadedRelocations where relocation.type == types.irelative {
            guard let addend = relocation.addend else { continue }
            accept(resolver: UInt64(bitPattern: addend), slot: relocation.offset &+ module.loadBias)
        }
        guard !left.isEmpty else { return }

        // Calls of other modules, by name. Of several versions they mean the default one.
        var resolvers: [String: UInt64] = [:]
        guard let exported = try? module.file.dynamicSymbols else { return }
        let versions = module.file.section(named: ".gnu.version").flatMap { try? module.file.contents(of: $0) }
        for index in exported.indices {
            let symbol = exported[index]
            guard symbol.type == .indirectFunction, left[symbol.value] != nil else { continue }
            if let version: UInt16 = versions?.load(at: UInt64(index) * 2), version & 0x8000 != 0 { continue }
            resolvers[exported.name(of: symbol)] = symbol.value
        }
        for other in modules where !left.isEmpty && !resolvers.isEmpty && !other.isVDSO {
            guard let names = try? other.file.dynamicSymbols else { continue }
            for relocation in other.file.loadedRelocations where types.symbolic.contains(relocation.type) {
                guard relocation.addend ?? 0 == 0, let symbol = names.symbol(at: relocation.symbol),
                    !symbol.isDefined || symbol.type == .indirectFunction,
                    let resolver = resolvers[names.name(of: symbol)]
                else { continue }
                accept(resolver: resolver, slot: relocation.offset &+ other.loadBias)
            }
        }
    }
}
