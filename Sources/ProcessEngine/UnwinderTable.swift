import LinuxProcess
import Trampoline

/// What unwinders are told of our code: all of it that may be on a stack.
struct UnwinderTable {
    /// Images that were replaced, and entries that were moved, while calls may be inside.
    private var retired: [UnwindEntry] = []
    /// Each once: there are some hundred of them for a hundred thousand functions.
    private var descriptions: Set<UnwindDescription> = []
    /// Where in the target it stands what unwinders that go through the modules are shown; nil: nothing yet.
    var cell: UInt64?

    /// A moved entry with the description that is equal and kept already, if there is one.
    mutating func share(_ displaced: inout DisplacedEntry) {
        guard let unwind = displaced.unwind else { return }
        displaced.unwind?.description = descriptions.insert(unwind.description).memberAfterInsert
    }

    /// A function gets another image, or none.
    mutating func retireImage(of function: TracedFunction) {
        if let image = function.image, image.callsFunction { retired.append(image.unwind) }
    }

    /// A function has its own bytes again: its moved entry is of no use from here on.
    mutating func retireEntry(of function: TracedFunction) {
        if let unwind = function.displaced.unwind { retired.append(unwind) }
    }

    /// - Parameter new: functions whose images are to be in use soon.
    func entries(of traced: TracedFunctions, and new: [TracedFunction]) -> [UnwindEntry] {
        var entries: [UnwindEntry] = []
        entries.reserveCapacity(2 * (traced.all.count + new.count) + retired.count)
        func add(_ function: TracedFunction) {
            if let image = function.image, image.callsFunction { entries.append(image.unwind) }
            if let displaced = function.displaced.unwind { entries.append(displaced) }
        }
        for function in traced.all { add(function) }
        for function in new { add(function) }
        entries += retired
        entries.sort { $0.start < $1.start }
        return entries
    }
}

/// What finders search.
///
///     count │ (start, end, description)… sorted │ CIE and FDE of each description
struct FinderTable {
    private let entries: [UnwindEntry]
    /// Those descriptions that are equal are the same object, but for a few.
    private var places: [ObjectIdentifier: Int] = [:]
    private var descriptions: [UInt8] = []
    private let headSize: Int
    let size: Int

    init(_ entries: [UnwindEntry]) {
        self.entries = entries
        for entry in entries where places[ObjectIdentifier(entry.description)] == nil {
            places[ObjectIdentifier(entry.description)] = descriptions.count + entry.description.offset
            descriptions += entry.description.bytes
            descriptions += repeatElement(0, count: descriptions.count.roundedUp(to: 8) - descriptions.count)
        }
        headSize = (8 + entries.count * 24).roundedUp(to: 16)
        size = headSize + descriptions.count
    }

    func bytes(at base: UInt64) -> [UInt8] {
        var table = ByteWriter()
        table.bytes.reserveCapacity(size)
        table.append(UInt64(entries.count))
        for entry in entries {
            table.append(entry.start)
            table.append(entry.end)
            table.append(base + UInt64(headSize + (places[ObjectIdentifier(entry.description)] ?? 0)))
        }
        table.pad(to: headSize)
        return table.bytes + descriptions
    }
}

/// What the routine at `dl_iterate_phdr` looks at.
///
///     stamp │ counts │ (low, high, header, size) of each region of code │ (start, end) of each caller's code
struct IteratorIndex {
    /// The code of ours in a region, and where its `.eh_frame_hdr` is.
    struct Group {
        var code: Range<UInt64>
        var header: UInt64
        var headerSize: Int
    }

    var groups: [Group] = []
    let callers: [Range<UInt64>]

    var size: Int { 24 + groups.count * 32 + callers.count * 16 }

    func bytes(at base: UInt64) -> [UInt8] {
        var table = ByteWriter()
        // No loader has loaded and unloaded as many libraries: what a caller keeps of our code, it drops again.
        table.append(base)
        table.append(UInt64(groups.count))
        table.append(UInt64(callers.count))
        for group in groups {
            table.append(group.code.lowerBound)
            table.append(group.code.upperBound)
            table.append(group.header)
            table.append(UInt64(group.headerSize))
        }
        for caller in callers {
            table.append(caller.lowerBound)
            table.append(caller.upperBound)
        }
        return table.bytes
    }
}
