import ELF
import LinuxProcess
import MachineCode
import Search
import Trampoline

/// Which functions of a module leave to which by a jump, and what holds for them by their names: enough to tell what follows
/// from the one for the other. All addresses are those of the file.
struct JumpGraph: Sendable {
    private struct Code: Sendable {
        var address: UInt64
        var bytes: ByteSlice
        var range: Range<UInt64> { address..<address + UInt64(bytes.count) }
    }

    private let functions: [FunctionSymbol]
    /// Their places.
    private let layout: ModuleAnalysis.Layout
    private let code: [Code]
    private let unwoundRange: @Sendable (UInt64) -> Range<UInt64>?
    private var slots: FunctionSlots
    /// Jumps out of functions to others; through slots, by themselves or by a stub; and what is loaded of slots and functions.
    private var direct: [LeavingJumps.Reference] = []
    private var throughSlots: [LeavingJumps.Reference] = []
    private var loads: [LeavingJumps.Reference] = []
    private var addresses: [LeavingJumps.Reference] = []
    private let thunks: Set<UInt64>
    private let resolvers: Set<UInt64>
    /// What they have chosen, as far as that is known.
    private let resolved: [(resolver: UInt64, chosen: UInt64)]

    /// What holds for functions by their names, where not everything is possible.
    let named: [UInt64: FunctionPolicy]

    init(_ file: ELFFile, _ symbols: ModuleSymbols) {
        functions = symbols.functions
        let functions = self.functions
        layout = .init(starts: functions.map(\.address), sizes: functions.map { min(max($0.size, 1), 1 << 30) })
        code = file.sections.filter { $0.flags.contains([.execute, .alloc]) && $0.type == .bits && !$0.isStubs }
            .compactMap { section in
                guard let bytes = try? file.bytes(of: section), section.address < .max - UInt64(bytes.count) else { return nil }
                return Code(address: section.address, bytes: bytes)
            }
        slots = FunctionSlots(file)
        unwoundRange = UnwindIndex.ranges(of: file, bias: 0)
        thunks = Set(functions.lazy.filter { FunctionPolicy.isThunk(name: $0.name) }.map(\.address))
        let indirect = functions.indices.filter { functions[$0].kind == .indirect }.map { functions[$0] }
        resolvers = Set(indirect.map(\.address))
        resolved = indirect.compactMap { function in function.resolvedAddress.map { (function.address, $0) } }
        let policies = Parallel.map(functions.indices) { index -> FunctionPolicy in
            let function = functions[index]
            return function.aliases.isEmpty ? .of(name: function.name) : .of(names: function.names)
        }
        var named: [UInt64: FunctionPolicy] = [:]
        for (function, policy) in zip(functions, policies) where policy != .any { named[function.address] = policy }
        self.named = named
        findJumps()
    }

    private mutating func findJumps() {
        guard let low = code.map(\.range.lowerBound).min(), let high = code.map(\.range.upperBound).max() else { return }
        let (layout, unwoundRange, slots) = (layout, unwoundRange, slots)
        var found = LeavingJumps()
        for part in code {
            part.bytes.withUnsafeBytes { text in
                found.add(
                    text, base: part.address, code: low..<high, slots: slots.data,
                    range: { Self.range(of: $0, in: layout, unwoundRange) }, isSlot: { slots.isInTable($0) },
                    isStart: { layout.contains($0) })
            }
        }
        for jump in found.direct {
            if let slot = slots.slot(ofStub: jump.target) {
                throughSlots.append(.init(source: jump.source, target: slot))
            } else {
                direct.append(jump)
            }
        }
        throughSlots += found.throughSlots
        loads = found.loads
        addresses = found.addresses
        self.slots.find(Set(throughSlots.map(\.target)).union(loads.map(\.target)))
    }

    /// Functions of other modules that functions of this one may leave to.
    var importedNames: Set<String> { slots.names }

    // MARK: - What follows

    /// What was looked up in the code: it is asked for again and again until nothing new follows.
    struct Memory {
        fileprivate var plausible: [UInt64: Bool] = [:]
        /// Functions that reach one by a short jump, or by running into it.
        fileprivate var neighbours: [UInt64: [UInt64]] = [:]
        /// Functions that have another way out than by one jump.
        fileprivate var waysOut: [UInt64: Bool] = [:]
    }

    /// Adds what follows from what holds.
    /// - Parameters:
    ///   - policies: by address of the file.
    ///   - imported: what is known of a name that the process has.
    /// - Returns: whether anything is new.
    func spread(
        _ policies: inout [UInt64: FunctionPolicy], _ memory: inout Memory, imported: (String) -> FunctionPolicy
    ) -> Bool {
        var isAnyNew = false
        // Each round follows one jump more.
        for _ in 0..<Self.longestChain {
            let before = policies
            let targets = Targets(policies.keys.map { range(of: $0) })
            for found in leaving(to: targets, policies, &memory, imported) {
                for owner in owners(of: found.source) {
                    if found.policy.isForWantOfExit {
                        let isOneOfSome = memory.waysOut[owner] ?? hasMoreWaysOut(owner)
                        memory.waysOut[owner] = isOneOfSome
                        if isOneOfSome { continue }
                    }
                    let known = policies[owner] ?? .any
                    let policy = known.stricter(found.policy)
                    if policy != known { policies[owner] = policy }
                }
            }
            for (resolver, chosen) in resolved {
                guard let policy = policies[chosen] else { continue }
                let known = policies[resolver] ?? .any
                policies[resolver] = known.stricter(policy)
            }
            if policies.count == before.count, policies == before { return isAnyNew }
            isAnyNew = true
        }
        return isAnyNew
    }

    /// No compiler makes such; a file that was made to keep us busy may have it.
    private static let longestChain = 1000

    /// Ranges of functions with a policy, for looking up many addresses.
    private struct Targets {
        private let ranges: [Range<UInt64>]

        init(_ ranges: [Range<UInt64>]) { self.ranges = ranges.sorted { $0.lowerBound < $1.lowerBound } }

        /// The start of the function that an address is in.
        func start(of address: UInt64) -> UInt64? {
            let end = ranges.partitioningIndex { $0.lowerBound > address }
            // They hardly ever overlap.
            for index in stride(from: end - 1, through: max(0, end - 4), by: -1) where ranges[index].contains(address) {
                return ranges[index].lowerBound
            }
            return nil
        }
    }

    private struct Leaving {
        var source: UInt64
        var policy: FunctionPolicy
    }

    /// Every instruction by which a function may leave to one with a policy.
    private func leaving(
        to targets: Targets, _ policies: [UInt64: FunctionPolicy], _ memory: inout Memory,
        _ imported: (String) -> FunctionPolicy
    ) -> [Leaving] {
        var slotPolicies: [UInt64: FunctionPolicy] = [:]
        func slotPolicy(_ slot: UInt64) -> FunctionPolicy {
            if let known = slotPolicies[slot] { return known }
            let policy: FunctionPolicy
            switch slots.target(of: slot) {
            case .name(let name):
                policy = FunctionPolicy.isThunk(name: name) ? .any : imported(name).ofJumper(to: name)
            case .address(let address): policy = self.jumpPolicy(address, targets, policies)
            case nil: policy = .any
            }
            slotPolicies[slot] = policy
            return policy
        }
        var found: [Leaving] = []
        func add(_ source: UInt64, _ policy: FunctionPolicy) {
            if policy == .any { return }
            let isPlausible = memory.plausible[source] ?? isPlausible(source)
            memory.plausible[source] = isPlausible
            if isPlausible { found.append(Leaving(source: source, policy: policy)) }
        }
        for jump in direct { add(jump.source, jumpPolicy(jump.target, targets, policies)) }
        for jump in throughSlots { add(jump.source, slotPolicy(jump.target)) }
        for load in loads where slotPolicy(load.target) != .any && owners(of: load.source).contains(where: jumpsThroughRegister) {
            add(load.source, slotPolicy(load.target))
        }
        for reference in addresses {
            let policy = jumpPolicy(reference.target, targets, policies)
            if policy == .any { continue }
            // What an indirect function's resolver gives back, it is.
            if owners(of: reference.source).contains(where: { resolvers.contains($0) || jumpsThroughRegister($0) }) {
                add(reference.source, policy)
            }
        }
        for address in policies.keys {
            let policy = jumpPolicy(address, targets, policies)
            if policy == .any { continue }
            let neighbours = memory.neighbours[address] ?? neighbours(of: address)
            memory.neighbours[address] = neighbours
            found += neighbours.map { Leaving(source: $0, policy: policy) }
        }
        return found
    }

    private func jumpPolicy(_ address: UInt64, _ targets: Targets, _ policies: [UInt64: FunctionPolicy]) -> FunctionPolicy {
        guard let start = targets.start(of: address), let policy = policies[start], !thunks.contains(start) else { return .any }
        return policy.ofJumper(to: name(of: start))
    }

    private func name(of address: UInt64) -> String { names(at: address).first ?? "0x" + String(address, radix: 16) }

    /// The names of the function at an address.
    func names(at address: UInt64) -> [String] {
        let index = layout.firstIndex(notBelow: address)
        return index < functions.count && functions[index].address == address ? functions[index].names : []
    }

    /// Whether there is a function of one of these names.
    static func has(_ functions: [FunctionSymbol], _ names: Set<String>) -> Bool {
        functions.contains { names.contains($0.name) || !$0.aliases.isEmpty && $0.aliases.contains { names.contains($0) } }
    }

    // MARK: - Code

    private static func range(_ index: Int, of layout: ModuleAnalysis.Layout) -> Range<UInt64> {
        layout.starts[index]..<(layout.starts[index] &+ layout.sizes[index])
    }

    /// The function that an address is in, or the part of one that the unwinder is told of, or what lies between two.
    private static func range(
        of address: UInt64, in layout: ModuleAnalysis.Layout, _ unwoundRange: (UInt64) -> Range<UInt64>?
    ) -> Range<UInt64> {
        let next = layout.firstIndex(notBelow: address + 1)
        let before = next > 0 ? range(next - 1, of: layout) : 0..<0
        if before.contains(address) { return before }
        let stop = next < layout.starts.count ? layout.starts[next] : .max
        if let range = unwoundRange(address) { return range.lowerBound..<max(address + 1, min(range.upperBound, stop)) }
        return before.upperBound..<max(address + 1, stop)
    }

    private func range(of address: UInt64) -> Range<UInt64> { Self.range(of: address, in: layout, unwoundRange) }

    /// The starts of the functions whose code an address is.
    private func owners(of address: UInt64) -> [UInt64] {
        let next = layout.firstIndex(notBelow: address + 1)
        let around = (max(0, next - 16)..<next).filter { Self.range($0, of: layout).contains(address) }
        return around.isEmpty ? [range(of: address).lowerBound] : around.map { layout.starts[$0] }
    }

    private func withCode<Result>(at address: UInt64, _ body: (UnsafeRawBufferPointer, _ base: UInt64) -> Result) -> Result? {
        guard let part = code.first(where: { $0.range.contains(address) }) else { return nil }
        return part.bytes.withUnsafeBytes { body($0, part.address) }
    }

    private func isPlausible(_ address: UInt64) -> Bool {
        withCode(at: address) { Architecture.isPlausible(address, in: $0, base: $1) } ?? false
    }

    private func shortJumps(to address: UInt64) -> [UInt64] {
        withCode(at: address) { Architecture.shortJumps(to: address, in: $0, base: $1) } ?? []
    }

    /// Whether an instruction starts there when the function is read from its start.
    private func isInstruction(_ address: UInt64) -> Bool {
        withCode(at: address) { Architecture.isInstruction(address, of: range(of: address), in: $0, base: $1) } ?? false
    }

    private func neighbours(of address: UInt64) -> [UInt64] {
        let own = range(of: address)
        return shortJumps(to: address).filter { !own.contains($0) && isInstruction($0) } + [functionThatRunsInto(address)].compactMap { $0 }
    }

    private static let largestFunction: UInt64 = 1 << 20

    private func shape(of range: Range<UInt64>) -> LeavingJumps.Shape? {
        withCode(at: range.lowerBound) { text, base in
            let end = min(range.upperBound, base + UInt64(text.count), range.lowerBound + Self.largestFunction)
            return Architecture.shape(of: range.lowerBound..<max(range.lowerBound, end), in: text, base: base)
        }
    }

    private func jumpsThroughRegister(_ address: UInt64) -> Bool {
        guard let shape = shape(of: range(of: address)) else { return false }
        return shape.jumpsThroughRegister || shape.jumps.contains(where: thunks.contains)
    }

    /// Whether a function may return, or leave in more ways than by one jump.
    private func hasMoreWaysOut(_ address: UInt64) -> Bool {
        let own = range(of: address)
        guard let shape = shape(of: own) else { return false }
        return shape.returns || shape.runsOn || shape.jumpsThroughRegister || shape.jumps.filter { !own.contains($0) }.count > 1
    }

    /// The function that ends where another begins, without a jump or a return.
    private func functionThatRunsInto(_ address: UInt64) -> UInt64? {
        let index = layout.firstIndex(notBelow: address)
        guard index > 0, layout.contains(address) else { return nil }
        let before = Self.range(index - 1, of: layout)
        // At most padding lies between.
        guard before.upperBound <= address, address - before.upperBound < 64, shape(of: before.lowerBound..<address)?.runsOn ?? false else {
            return nil
        }
        return before.lowerBound
    }
}
