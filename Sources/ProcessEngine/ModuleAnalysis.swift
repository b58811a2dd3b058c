import MachineCode
import Search
import Synchronization
import Trampoline

/// What functions do with their callers' stacks, found out by several threads.
private final class StackUses: Sendable {
    private let known = Mutex<[UInt64: StackUse]>([:])

    func of(_ address: UInt64) -> StackUse? { known.withLock { $0[address] } }
    func add(_ use: StackUse, at address: UInt64) { known.withLock { $0[address] = use } }
}

/// The code of a module, as displacing some of its functions needs it: their bytes, what lies behind and
/// around them, and which branches of the whole module go into their first bytes.
struct ModuleAnalysis {
    /// The module's functions as displacing sees them.
    struct Layout: Sendable {
        /// Starts of all functions, ascending, and their sizes.
        var starts: [UInt64]
        var sizes: [UInt64]

        /// The index of the first function that starts at or behind an address.
        func firstIndex(notBelow address: UInt64) -> Int {
            starts.partitioningIndex { $0 >= address }
        }

        /// The size of the function that starts at an address.
        func size(at address: UInt64) -> UInt64? {
            let index = firstIndex(notBelow: address)
            return index < starts.count && starts[index] == address ? sizes[index] : nil
        }

        func contains(_ address: UInt64) -> Bool {
            let index = firstIndex(notBelow: address)
            return index < starts.count && starts[index] == address
        }

        /// With functions that no symbol names: implementations of indirect ones.
        func adding(_ functions: [(start: UInt64, size: UInt64)]) -> Layout {
            let new = functions.filter { !contains($0.start) }
            if new.isEmpty { return self }
            var all = Array(zip(starts, sizes))
            for function in new where !all.contains(where: { $0.0 == function.start }) {
                all.append((function.start, function.size))
            }
            all.sort { $0.0 < $1.0 }
            return Layout(starts: all.map(\.0), sizes: all.map(\.1))
        }
    }

    /// As it is.
    private let code: [CodeRange]
    /// As it was before anybody patched it.
    private let original: [CodeRange]
    /// What patches overwrote, by ascending address.
    private let patched: [CodeRange]
    private let layout: Layout
    /// What unwinders are told of code at an address: the range of a function, or of the cold part of one.
    private let unwoundRange: @Sendable (UInt64) -> Range<UInt64>?
    /// The long branches to entries: of use as long as the module is loaded.
    let branches: EntryBranches
    private let stackUses = StackUses()

    /// - `patched`: what patches overwrote. A branch that a patch displaced still goes where it went.
    /// - `branches`: as an earlier analysis of this module with this layout found them.
    init(
        code: [CodeRange], patched: [CodeRange] = [], layout: Layout, pointers: CodePointers, branches known: EntryBranches? = nil,
        unwoundRange: @escaping @Sendable (UInt64) -> Range<UInt64>? = { _ in nil }
    ) {
        self.unwoundRange = unwoundRange
        self.code = code
        self.patched = patched.sorted { $0.address < $1.address }
        self.layout = layout
        original = patched.isEmpty ? code : Self.unpatched(code, patched)
        branches = known ?? Self.branches(original, layout, pointers)
    }

    /// The code as it was before anybody patched it.
    private static func unpatched(_ code: [CodeRange], _ patched: [CodeRange]) -> [CodeRange] {
        var code = code
        for patch in patched {
            for index in code.indices where patch.address >= code[index].address {
                let start = patch.address - code[index].address
                guard start + UInt64(patch.bytes.count) <= UInt64(code[index].bytes.count) else { continue }
                code[index].bytes.replaceSubrange(Int(start)..<(Int(start) + patch.bytes.count), with: patch.bytes)
            }
        }
        return code
    }

    private static func branches(_ code: [CodeRange], _ layout: Layout, _ pointers: CodePointers) -> EntryBranches {
        var entries: [EntryBranches.Entry] = []
        var before: UInt64 = 0
        entries.reserveCapacity(layout.starts.count)
        for (index, start) in layout.starts.enumerated() {
            let interior = Architecture.patchedInterior(
                of: CodeRange(address: start, bytes: bytes(start..<(start &+ 8), of: code)))
            let next = index + 1 < layout.starts.count ? layout.starts[index + 1] : .max
            let end = max(interior.lowerBound, min(interior.upperBound, next))
            let paddingStart = max(start - min(start, UInt64(ShortBytes.capacity)), min(before, start))
            before = max(before, start &+ min(layout.sizes[index], 1 << 30))
            entries.append(
                .init(
                    address: start, interior: interior.lowerBound..<end, end: start &+ min(layout.sizes[index], 1 << 30),
                    padding: paddingStart..<start))
        }
        var branches = EntryBranches()
        for range in code {
            range.bytes.withUnsafeBytes {
                branches.add($0, base: range.address, entries: entries)
                branches.addTables($0, base: range.address, entries: entries, read: pointers.read)
            }
        }
        pointers.forEach { branches.enter($0, entries) }
        return branches
    }

    /// Bytes of the code as it was before anybody patched it.
    private func bytes(_ range: Range<UInt64>) -> [UInt8] {
        var bytes = Self.bytes(range, of: code)
        if patched.isEmpty { return bytes }
        var index = firstPatch(endingBehind: range.lowerBound)
        while index < patched.count, patched[index].address < range.lowerBound + UInt64(bytes.count) {
            for (offset, byte) in patched[index].bytes.enumerated() {
                let address = patched[index].address + UInt64(offset)
                if address >= range.lowerBound, address - range.lowerBound < UInt64(bytes.count) {
                    bytes[Int(address - range.lowerBound)] = byte
                }
            }
            index += 1
        }
        return bytes
    }

    /// The same bytes, for the time of a call; not copied where nobody has patched anything.
    private func withBytes<Result>(_ range: Range<UInt64>, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        if patched.isEmpty, let code = code.first(where: { $0.address <= range.lowerBound && range.lowerBound < $0.address + UInt64($0.bytes.count) })
        {
            let start = Int(range.lowerBound - code.address)
            let end = min(code.bytes.count, start + range.count)
            return code.bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
        }
        return bytes(range).withUnsafeBytes(body)
    }

    private func firstPatch(endingBehind address: UInt64) -> Int {
        patched.partitioningIndex { $0.address + UInt64($0.bytes.count) > address }
    }

    private static func bytes(_ range: Range<UInt64>, of code: [CodeRange]) -> [UInt8] {
        guard
            let code = code.first(where: {
                $0.address <= range.lowerBound && range.lowerBound < $0.address + UInt64($0.bytes.count)
            })
        else { return [] }
        let start = Int(range.lowerBound - code.address)
        let end = min(code.bytes.count, start + range.count)
        return Array(code.bytes[start..<end])
    }

    func request(for info: FunctionInfo) -> DisplacementRequest {
        let position = layout.firstIndex(notBelow: info.address + 1)
        let next = position < layout.starts.count ? layout.starts[position] : UInt64.max
        let end = info.address + min(info.size, 1 << 30)
        let start = bytes(info.address..<min(max(end, info.address + 1), info.address + UInt64(Architecture.entryWindow)))
        let function = CodeRange(address: info.address, bytes: start)
        let short = shortBranches(
            into: Architecture.patchedInterior(of: function), of: function, end: end, next: position)
        let following = next > end ? bytes(end..<min(next, end + 32)) : []
        return DisplacementRequest(
            function: function, following: end - info.address <= UInt64(start.count) ? following : [],
            enteredAt: (branches.entered[info.address] ?? []) + short.targets + otherEntries(info.address, end),
            loopsFrom: branches.loops[info.address], neighbours: short.neighbours,
            isInsideAnother: isInsideAnother(info.address), referredTo: branches.referenced[info.address],
            flagsReadAt: branches.flagsRead[info.address])
    }

    /// Moves a function's entry to `place`.
    func displace(_ info: FunctionInfo, at place: UInt64) throws(DisplacementError) -> DisplacedEntry {
        var request = request(for: info)
        do throws(DisplacementError) {
            return try Architecture.displace(request, at: place)
        } catch {
            guard error.isForWantOfRoom, let padding = padding(before: info.address) else { throw error }
            request.padding = padding
            let before = info.address - min(UInt64(padding.bytes.count), UInt64(ShortBytes.capacity))..<info.address
            let end = info.address + min(info.size, 1 << 30)
            let short = shortBranches(
                into: before, of: request.function, end: end, next: layout.firstIndex(notBelow: info.address + 1))
            request.enteredAt += short.targets
            if request.neighbours.isEmpty { request.neighbours = short.neighbours }
            do throws(DisplacementError) {
                return try Architecture.displace(request, at: place)
            } catch _ {
                throw error
            }
        }
    }

    /// The bytes before a function that are nobody's, from the end of what lies before; nil if that is not near, or fewer
    /// than a jump needs.
    private func padding(before address: UInt64) -> EntryPadding? {
        let own = layout.firstIndex(notBelow: address)
        guard own > 0, address >= EntryPadding.longest else { return nil }
        let before = layout.starts[own - 1]
        let (end, overflow) = before.addingReportingOverflow(layout.sizes[own - 1])
        guard !overflow, end <= address else { return nil }
        var start = address
        var part: Range<UInt64>?
        while start > end, address - start < EntryPadding.longest {
            part = unwoundRange(start - 1)
            if part != nil { break }
            start -= 1
        }
        guard start == end || part != nil, address - start >= EntryPadding.shortest else { return nil }
        let padding = bytes(start..<address)
        guard padding.count == Int(address - start) else { return nil }
        // The function before may have a patch of its own.
        let (usable, _) = before.addingReportingOverflow(UInt64(Architecture.longestPatchedHead))
        var codeBefore: [UInt8] = []
        if Architecture.needsCodeBefore(padding), start - (part?.lowerBound ?? before) <= Self.longestBefore {
            codeBefore = bytes((part?.lowerBound ?? before)..<start)
        }
        return EntryPadding(bytes: padding, codeBefore: codeBefore, firstUsable: usable > start ? Int(usable - start) : 0)
    }

    private static let longestBefore: UInt64 = 1 << 16

    /// The short branches into a function's first bytes: those of functions beside it are found when these are
    /// decoded from their starts, others by their bytes.
    private func shortBranches(
        into interior: Range<UInt64>, of function: CodeRange, end: UInt64, next position: Int
    ) -> (targets: [UInt64], neighbours: [CodeRange]) {
        let start = max(function.address - min(function.address, Self.shortWindow), codeStart(of: function.address))
        let range = start..<(interior.upperBound + Self.shortWindow)
        let isPossible = withBytes(range) { Architecture.mayBranchShort($0, base: start, into: interior) }
        // In most functions no byte nearby looks like one.
        guard isPossible else { return ([], []) }
        let around = CodeRange(address: start, bytes: bytes(range))
        var neighbours: [CodeRange] = []
        let own = layout.firstIndex(notBelow: function.address)
        for index in [own - 1, position] where layout.starts.indices.contains(index) && layout.starts[index] != function.address {
            let start = layout.starts[index]
            let stop = start + min(layout.sizes[index], 1 << 16)
            if stop + 160 > function.address, start < end + 160 {
                neighbours.append(CodeRange(address: start, bytes: bytes(start..<stop)))
            }
        }
        let known = [function.address..<end] + neighbours.map { $0.address..<($0.address + UInt64($0.bytes.count)) }
        let branches = around.bytes.withUnsafeBytes {
            Architecture.shortBranches(in: $0, base: around.address, into: interior, except: known)
        }
        return (branches.map(\.target), neighbours)
    }

    /// A short branch reaches 128 bytes; what comes before it tells whether it is an instruction.
    private static let shortWindow: UInt64 = 256

    private func codeStart(of address: UInt64) -> UInt64 {
        code.first { $0.address <= address && address < $0.address + UInt64($0.bytes.count) }?.address ?? address
    }

    // MARK: The stack

    /// What a function does with its caller's stack: with `convention`, as far as that does not tell.
    func convention(_ convention: CallingConvention, of info: FunctionInfo) throws(DisplacementError) -> CallingConvention {
        if convention.stackWordsAreKnown { return convention }
        var result = convention
        let named = convention.arguments.reduce(0) { if case .stack(let word) = $1 { max($0, word + 1) } else { $0 } }
        let use = stackUse(of: info)
        result.stackWords = max(named, try use.wordsToCopy())
        result.takesFramePointer = !convention.keepsFrame && use.takesFramePointer
        return result
    }

    /// Functions that leave to one another in a row.
    private static let longestChain = 8
    private static let largestFunction: UInt64 = 1 << 20

    private func stackUse(of info: FunctionInfo) -> StackUse {
        var use = knownStackUse(at: info.address, size: info.size)
        var seen: Set<UInt64> = [info.address]
        var next = use.tailCalls
        for round in 0..<Self.longestChain where !next.isEmpty {
            var found: [UInt64] = []
            for target in next where seen.insert(target).inserted {
                let other = knownStackUse(at: target, size: layout.size(at: target))
                use.merge(other)
                found += other.tailCalls
            }
            next = found
            if round == Self.longestChain - 1, !next.isEmpty { use.isOpen = true }
        }
        return use
    }

    /// Many functions leave to the same few: each is read once.
    private func knownStackUse(at address: UInt64, size: UInt64?) -> StackUse {
        if let known = stackUses.of(address) { return known }
        let use = stackUse(at: address, size: size)
        stackUses.add(use, at: address)
        return use
    }

    /// - Parameter size: of the function, if that is known.
    private func stackUse(at address: UInt64, size: UInt64?) -> StackUse {
        guard let range = original.first(where: { $0.address <= address && address - $0.address < UInt64($0.bytes.count) })
        else {
            // In another module.
            var use = StackUse()
            use.isOpen = true
            return use
        }
        let stop = size.flatMap { $0 > 0 ? address + min($0, Self.largestFunction) : nil } ?? end(of: address)
        return range.bytes.withUnsafeBytes {
            Architecture.stackUse(
                of: address..<min(max(address, stop), address + Self.largestFunction), in: $0, base: range.address,
                end: end(of:))
        }
    }

    /// Where the function ends that an address lies in, or the next one begins.
    private func end(of address: UInt64) -> UInt64 {
        let next = layout.firstIndex(notBelow: address + 1)
        let stop = next < layout.starts.count ? layout.starts[next] : .max
        if let range = unwoundRange(address) { return min(range.upperBound, stop) }
        guard next > 0 else { return stop }
        let (end, overflow) = layout.starts[next - 1].addingReportingOverflow(layout.sizes[next - 1])
        return !overflow && end > address ? min(end, stop) : stop
    }

    /// Why the function's entry cannot become a jump; nil if it can.
    func refusal(of info: FunctionInfo, _ convention: CallingConvention? = nil) -> String? {
        do throws(DisplacementError) {
            _ = try plan(of: info, convention)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// What the function's entry would become.
    func plan(of info: FunctionInfo, _ convention: CallingConvention?) throws(DisplacementError) -> DisplacedEntry {
        if let convention { _ = try self.convention(convention, of: info) }
        // Any place within reach will do to find out.
        return try displace(info, at: (info.address & ~0xfff) + 0x100_0000)
    }

    /// Symbols inside the function.
    private func otherEntries(_ start: UInt64, _ end: UInt64) -> [UInt64] {
        var index = layout.firstIndex(notBelow: start + 1)
        var found: [UInt64] = []
        while index < layout.starts.count, layout.starts[index] < min(end, start + 64) {
            found.append(layout.starts[index])
            index += 1
        }
        return found
    }

    /// Whether the code of a function that starts before goes on behind this address.
    private func isInsideAnother(_ address: UInt64) -> Bool {
        let own = layout.firstIndex(notBelow: address)
        // Functions rarely overlap at all, and hardly ever across many others.
        return (max(0, own - 16)..<own).contains { address - layout.starts[$0] < layout.sizes[$0] }
    }

    /// Where the patch of a function's entry leads, if there is one.
    func entryTarget(at address: UInt64) -> UInt64? { Architecture.entryTarget(at: address) { Self.bytes($0, of: code) } }
}
