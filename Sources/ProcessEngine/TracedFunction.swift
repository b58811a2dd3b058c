import LinuxProcess
import MachineCode
import Search
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

    /// The same function, now that its prototype is asked for. What it does with the stack is known already.
    func with(_ prototype: CallingConvention) -> TracedFunction {
        var convention = prototype
        if !prototype.stackWordsAreKnown {
            convention.stackWords = self.convention.stackWords
            convention.takesFramePointer = self.convention.takesFramePointer
        }
        return TracedFunction(
            info: info, convention: convention, displaced: displaced, lists: lists, image: image, counters: counters)
    }

    /// What is written at its entry.
    var patch: EntryPatch { displaced.patch }

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
        image.flatMap { displaced.patch.bytes(to: $0.address) }
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

/// Address ranges, sorted, for looking up many addresses.
struct RangeIndex: Sendable {
    private let ranges: [(range: Range<UInt64>, index: Int)]

    init(_ ranges: [Range<UInt64>]) {
        self.ranges = ranges.enumerated().map { ($0.element, $0.offset) }
            .sorted { $0.range.lowerBound < $1.range.lowerBound }
    }

    /// The index of the range that holds `address`.
    func index(of address: UInt64) -> Int? {
        let index = ranges.partitioningIndex { $0.range.upperBound > address }
        guard index < ranges.count, ranges[index].range.contains(address) else { return nil }
        return ranges[index].index
    }
}
