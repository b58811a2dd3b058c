import LinuxProcess
import Trampoline

/// A function with programs at it, and what it takes to undo that. A change makes a new one: the tables that hold
/// a hundred thousand of them share what they have in common.
final class TracedFunction: Sendable {
    let info: FunctionInfo
    let convention: CallingConvention
    /// Its first instructions, as they were moved.
    let displaced: DisplacedEntry
    let lists: TrampolineLists
    /// The image that the function's entry jumps to.
    let image: InstalledImage?
    /// Nil for the engine's own links only.
    let counters: CallCounts?

    init(
        info: FunctionInfo, convention: CallingConvention, displaced: DisplacedEntry, lists: TrampolineLists,
        image: InstalledImage? = nil, counters: CallCounts? = nil
    ) {
        self.info = info
        self.convention = convention
        self.displaced = displaced
        self.lists = lists
        self.image = image
        self.counters = counters
    }

    /// The same function with other programs.
    func with(_ lists: TrampolineLists, _ counters: CallCounts?, _ image: InstalledImage?) -> TracedFunction {
        TracedFunction(
            info: info, convention: convention, displaced: displaced, lists: lists, image: image, counters: counters)
    }

    var patchAddress: UInt64 { displaced.patchAddress }

    /// How often it was called, for the summary.
    var count: CallCount? {
        counters.map {
            let values = $0.values
            return CallCount(
                function: info, entered: values.entered, returned: values.returned,
                seesReturns: image?.callsFunction ?? false)
        }
    }

    /// The bytes at the function's entry while it is traced.
    var jump: ShortBytes? {
        image.flatMap { Architecture.jump(from: patchAddress, to: $0.address) }.map { $0 + displaced.patchTail }
    }
}

/// What is kept of an image that stands in the target.
struct InstalledImage: Sendable {
    var address: UInt64
    var size: Int
    /// Shared by all images of its shape.
    var description: UnwindDescription
    /// Whether it calls the function and sees it return.
    var callsFunction: Bool

    var unwind: UnwindEntry { UnwindEntry(start: address, size: size, description) }
}

/// Finds threads that are, or will return, to where they must not be when code changes.
struct StackScan {
    /// Bytes of each stack that are looked at, from the stack pointer up.
    private static let limit = 64 << 20

    /// Calls `visit` for the instruction pointer of each thread and every word on its stack: return addresses,
    /// and instruction pointers that signal frames keep. More than there are: any word may look like one.
    static func words(
        of process: inout StoppedProcess, _ visit: (_ thread: Int, _ isInstructionPointer: Bool, UInt64) -> Void
    ) {
        let map = try? MemoryMap(pid: process.pid)
        for (index, thread) in process.threads.enumerated() {
            guard let registers = try? thread.registers() else { continue }
            visit(index, true, registers.instructionPointer)
            let pointer = registers.stackPointer
            guard let region = map?.region(at: pointer) else { continue }
            let count = min(Int(region.range.upperBound - pointer), limit) & ~7
            guard count > 0 else { continue }
            var stack = [UInt64](repeating: 0, count: count / 8)
            let got = stack.withUnsafeMutableBytes { process.memory.readAvailable(at: pointer & ~7, into: $0) }
            for word in stack.prefix(got / 8) where word > 0xffff { visit(index, false, word) }
        }
    }
}

extension StackScan {
    /// Gives threads that stand at one of these addresses, or will return there from a signal, another one to go on at.
    static func redirect(_ places: [UInt64: UInt64], in process: inout StoppedProcess) throws(ProcessError) {
        guard !places.isEmpty else { return }
        let map = try MemoryMap(pid: process.pid)
        for thread in process.threads {
            guard var registers = try? thread.registers() else { continue }
            if let place = places[registers.instructionPointer] {
                registers.instructionPointer = place
                try thread.setRegisters(registers)
            }
            let pointer = registers.stackPointer & ~7
            guard let region = map.region(at: pointer) else { continue }
            let count = min(Int(region.range.upperBound - pointer), limit) & ~7
            guard count > 0 else { continue }
            var stack = [UInt64](repeating: 0, count: count / 8)
            let got = stack.withUnsafeMutableBytes { process.memory.readAvailable(at: pointer, into: $0) }
            for (index, word) in stack.prefix(got / 8).enumerated() {
                guard let place = places[word] else { continue }
                try process.memory.write(withUnsafeBytes(of: place, Array.init), at: pointer + UInt64(index) * 8)
            }
        }
    }
}

/// Address ranges, sorted, for looking up many addresses.
struct RangeIndex: Sendable {
    private let ranges: [(range: Range<UInt64>, index: Int)]

    init(_ ranges: [Range<UInt64>]) {
        self.ranges = ranges.enumerated().map { ($0.element, $0.offset) }
            .sorted { $0.range.lowerBound < $1.range.lowerBound }
    }

    /// The index of the range that holds `address`.
    func index(of address: UInt64) -> Int? {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].range.upperBound <= address { low = middle + 1 } else { high = middle }
        }
        guard low < ranges.count, ranges[low].range.contains(address) else { return nil }
        return ranges[low].index
    }
}
