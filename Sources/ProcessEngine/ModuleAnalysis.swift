import Trampoline

/// The code of a module, as displacing some of its functions needs it: their bytes, what lies behind and
/// around them, and which branches of the whole module go into their first bytes.
struct ModuleAnalysis {
    /// As it was before anybody patched it.
    private let code: [CodeRange]
    /// As it is.
    private let current: [CodeRange]
    /// Starts of all functions of the module, ascending, and their sizes.
    private let starts: [UInt64]
    private let sizes: [UInt64]
    /// Addresses that long branches enter, by function.
    private var entered: [UInt64: [UInt64]] = [:]
    /// An address among the first bytes that code refers to other than by a branch, by function.
    private var referenced: [UInt64: UInt64] = [:]

    /// - `patched`: what patches overwrote. A branch that a patch displaced still goes where it went.
    init(
        code current: [CodeRange], patched: [CodeRange] = [], starts: [UInt64], sizes: [UInt64],
        targets: [FunctionInfo]
    ) {
        var code = current
        for patch in patched {
            for index in code.indices where patch.address >= code[index].address {
                let start = patch.address - code[index].address
                guard start + UInt64(patch.bytes.count) <= UInt64(code[index].bytes.count) else { continue }
                code[index].bytes.replaceSubrange(Int(start)..<(Int(start) + patch.bytes.count), with: patch.bytes)
            }
        }
        self.current = current
        self.code = code
        self.starts = starts
        self.sizes = sizes
        let addresses = targets.map(\.address).sorted()
        var interiors: [Range<UInt64>] = []
        var owners: [UInt64] = []
        for (index, address) in addresses.enumerated() {
            let interior = Architecture.patchedInterior(
                of: CodeRange(address: address, bytes: bytes(address..<(address + 8))))
            var end = interior.upperBound
            if index + 1 < addresses.count { end = min(end, addresses[index + 1]) }
            guard end > interior.lowerBound else { continue }
            interiors.append(interior.lowerBound..<end)
            owners.append(address)
        }
        for range in code {
            range.bytes.withUnsafeBytes { bytes in
                let hits = ModuleBranchScan.branches(in: bytes, base: range.address, into: interiors)
                for (index, branch) in hits { entered[owners[index], default: []].append(branch.target) }
                for (index, target) in ModuleReferenceScan.references(in: bytes, base: range.address, into: interiors) {
                    referenced[owners[index]] = target
                }
            }
        }
    }

    private func bytes(_ range: Range<UInt64>) -> [UInt8] { Self.bytes(range, of: code) }

    private static func bytes(_ range: Range<UInt64>, of code: [CodeRange]) -> [UInt8] {
        guard let code = code.first(where: {
            $0.address <= range.lowerBound && range.lowerBound < $0.address + UInt64($0.bytes.count)
        }) else { return [] }
        let start = Int(range.lowerBound - code.address)
        let end = min(code.bytes.count, start + range.count)
        return Array(code.bytes[start..<end])
    }

    func request(for info: FunctionInfo) -> DisplacementRequest {
        let position = firstIndex(notBelow: info.address + 1)
        let next = position < starts.count ? starts[position] : UInt64.max
        let size = min(info.size, 1 << 20)
        let end = info.address + size
        var neighbours: [CodeRange] = []
        let own = firstIndex(notBelow: info.address)
        for index in [own - 1, position] where starts.indices.contains(index) && starts[index] != info.address {
            let start = starts[index]
            let stop = start + min(sizes[index], 1 << 16)
            if stop + 160 > info.address, start < end + 160 {
                neighbours.append(CodeRange(address: start, bytes: bytes(start..<stop)))
            }
        }
        let function = CodeRange(address: info.address, bytes: bytes(info.address..<max(end, info.address + 1)))
        let known = ([function] + neighbours).map { $0.address..<($0.address + UInt64($0.bytes.count)) }
        let interior = Architecture.patchedInterior(of: function)
        let short = code.first { $0.address <= info.address && info.address < $0.address + UInt64($0.bytes.count) }
            .map { range in
                range.bytes.withUnsafeBytes {
                    ModuleBranchScan.shortBranches(in: $0, base: range.address, into: interior, except: known)
                }
            } ?? []
        let following = next > end ? bytes(end..<min(next, end + 32)) : []
        return DisplacementRequest(
            function: function, following: following,
            enteredAt: (entered[info.address] ?? []) + short.map(\.target) + otherEntries(info.address, end),
            neighbours: neighbours, isInsideAnother: isInsideAnother(info.address),
            referredTo: referenced[info.address])
    }

    /// Why the function's entry cannot become a jump; nil if it can.
    func refusal(of info: FunctionInfo) -> String? {
        do throws(DisplacementError) {
            // Any place within reach will do to find out.
            _ = try Architecture.displace(request(for: info), at: (info.address & ~0xfff) + 0x100_0000)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Symbols inside the function.
    private func otherEntries(_ start: UInt64, _ end: UInt64) -> [UInt64] {
        var index = firstIndex(notBelow: start + 1)
        var found: [UInt64] = []
        while index < starts.count, starts[index] < min(end, start + 64) {
            found.append(starts[index])
            index += 1
        }
        return found
    }

    /// Whether the code of a function that starts before goes on behind this address.
    private func isInsideAnother(_ address: UInt64) -> Bool {
        let own = firstIndex(notBelow: address)
        // Functions rarely overlap at all, and hardly ever across many others.
        return (max(0, own - 16)..<own).contains { address - starts[$0] < sizes[$0] }
    }

    /// Where the function's entry jumps to, if it is a `jmp rel32` (behind an `endbr64`).
    func jumpTarget(at address: UInt64) -> UInt64? {
        var start = address
        var head = Self.bytes(start..<(start + 9), of: current)
        if head.starts(with: [0xf3, 0x0f, 0x1e, 0xfa]) {
            start += 4
            head.removeFirst(4)
        }
        guard head.count >= 5, head[0] == 0xe9 else { return nil }
        let distance = head[1...4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return start &+ 5 &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
    }

    private func firstIndex(notBelow address: UInt64) -> Int {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] < address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
