import Glibc
import LinuxProcess
import MachineCode
import Trampoline

/// Address space in the target for machine code near what it traces: read and execute only, written by
/// the controller through /proc/PID/mem.
///
/// A region describes itself, so that `fsession dump` and a later fsession can read it: a head, then
/// records one behind the other.
///
///     ┌ RegionHead (64 bytes): magic, version, controller's pid and start time, bytes used
///     ├ CodeRecord: head (64 bytes) │ name │ details │ code
///     ├ CodeRecord: …
struct CodeRegion: Sendable {
    static let magic: UInt64 = 0x4e4f_4953_5345_5346  // "FSESSION"
    static let headSize = 64
    /// Where the head names its controller, and what stands there once that has left the code behind.
    static let controllerOffset: UInt64 = 12
    static let nobody = [UInt8](repeating: 0, count: 12)

    let base: UInt64
    let size: Int
    private(set) var used = CodeRegion.headSize

    init(base: UInt64, size: Int) {
        self.base = base
        self.size = size
    }

    var range: Range<UInt64> { base..<(base + UInt64(size)) }
    var free: Int { size - used }

    /// Whether a jump at any place of the region reaches `address` and back.
    func reaches(_ address: UInt64) -> Bool {
        let low = min(base, address)
        let high = max(base + UInt64(size), address)
        return high - low < Architecture.jumpReach
    }

    /// Takes `count` bytes, aligned to 64. Nil if they are not there.
    mutating func allocate(_ count: Int) -> UInt64? {
        let start = used.roundedUp(to: 64)
        guard start + count <= size else { return nil }
        used = start + count
        return base + UInt64(start)
    }

    // MARK: Staging

    /// Code that is not in the target yet, so that many small pieces are written as one. From `stagedStart` on.
    private(set) var staged: [UInt8] = []
    private var stagedStart: UInt64 = 0
    /// Nothing at or behind this address has been written yet.
    private var writtenEnd: UInt64 = 0

    /// Between pieces; a thread that gets there by mistake stops.
    private static let filler = Registers.breakpointInstruction

    /// Whether a piece at `address` can be staged behind what is staged: what lies between must not have been
    /// written before.
    func canStage(at address: UInt64) -> Bool {
        if staged.isEmpty { return true }
        let end = stagedStart + UInt64(staged.count)
        return staged.count < 1 << 20 && address >= end
            && (address == end || end >= writtenEnd && address - end < 4096)
    }

    mutating func stage(_ bytes: [UInt8], at address: UInt64) {
        if staged.isEmpty { stagedStart = address }
        let gap = Int(address - stagedStart) - staged.count
        if gap > 0 { staged += (0..<gap).map { CodeRegion.filler[$0 % CodeRegion.filler.count] } }
        staged += bytes
    }

    /// What is to be written, and where; nothing is staged then.
    mutating func takeStaged() -> (address: UInt64, bytes: [UInt8])? {
        if staged.isEmpty { return nil }
        writtenEnd = max(writtenEnd, stagedStart + UInt64(staged.count))
        defer { staged.removeAll(keepingCapacity: false) }
        return (stagedStart, staged)
    }

    /// The head as it stands in the target.
    func head(controller: Int32, startTime: UInt64) -> [UInt8] {
        var bytes = ByteWriter()
        bytes.append(CodeRegion.magic)
        bytes.append(UInt32(1))
        bytes.append(UInt32(bitPattern: controller))
        bytes.append(startTime)
        bytes.append(UInt64(used))
        bytes.append(UInt64(size))
        bytes.pad(to: CodeRegion.headSize)
        return bytes.bytes
    }
}

/// A piece of code in a region and what is known of it.
package struct CodeRecord: Sendable {
    package enum Kind: UInt32, Sendable {
        case runtime = 1
        case program = 2
        case trampoline = 3
        case data = 4
    }

    static let magic: UInt32 = 0x6365_7266  // "frec"
    static let headSize = 64

    package var kind: Kind
    /// The program's or the traced function's name.
    package var name: String
    /// Trampolines: the function's address.
    package var function: UInt64 = 0
    /// Trampolines: the bytes at the function's entry before it was patched.
    package var originalBytes: ShortBytes = []
    /// Trampolines: bytes of the code that are the displaced entry, behind the trampoline itself.
    package var displacedSize = 0
    /// Programs: the BPF instructions, 8 bytes each, and the code offset of each slot (u32).
    package var instructions: [UInt64] = []
    package var slotOffsets: [UInt32] = []
    package var code: [UInt8]

    /// Bytes from the record's start to its code, 16-byte aligned.
    var codeOffset: Int {
        Self.codeOffset(name: name, details: instructions.count * 8 + slotOffsets.count * 4)
    }

    static func codeOffset(name: String, details: Int = 0) -> Int {
        (CodeRecord.headSize + name.utf8.count + details + 8).roundedUp(to: 16)
    }

    var encoded: [UInt8] {
        var bytes = ByteWriter()
        bytes.bytes.reserveCapacity(codeOffset + code.count)
        bytes.append(CodeRecord.magic)
        bytes.append(kind.rawValue)
        bytes.append(UInt32(codeOffset + code.count))
        bytes.append(UInt32(codeOffset))
        bytes.append(UInt32(name.utf8.count))
        bytes.append(UInt32(instructions.count))
        bytes.append(UInt32(displacedSize))
        bytes.append(UInt32(originalBytes.count))
        bytes.append(function)
        bytes.bytes += originalBytes
        bytes.pad(to: CodeRecord.headSize)
        for instruction in instructions { bytes.append(instruction) }
        for offset in slotOffsets { bytes.append(offset) }
        bytes.bytes += name.utf8
        bytes.pad(to: codeOffset)
        bytes.bytes += code
        return bytes.bytes
    }

    /// Reads the record at the start of `bytes`; nil where there is none. Checked: the target may be hostile.
    init?(decoding bytes: ArraySlice<UInt8>, size: inout Int) {
        var reader = ByteReader(bytes)
        guard reader.u32() == CodeRecord.magic, let kind = Kind(rawValue: reader.u32() ?? 0),
            let total = reader.u32(), let codeOffset = reader.u32(), let nameCount = reader.u32(),
            let instructionCount = reader.u32(), let displaced = reader.u32(), let originals = reader.u32(),
            let function = reader.u64(), originals <= ShortBytes.capacity, codeOffset <= total, Int(total) <= bytes.count,
            // Details and name lie between head and code: what is claimed is there, and is read once.
            Int(codeOffset) >= CodeRecord.headSize + Int(instructionCount) * 12 + Int(nameCount),
            let original = reader.bytes(24)
        else { return nil }
        var instructions: [UInt64] = []
        var slots: [UInt32] = []
        for _ in 0..<instructionCount {
            guard let value = reader.u64() else { return nil }
            instructions.append(value)
        }
        for _ in 0..<instructionCount {
            guard let value = reader.u32() else { return nil }
            slots.append(value)
        }
        guard let name = reader.bytes(Int(nameCount)) else { return nil }
        self.kind = kind
        self.name = String(decoding: name, as: UTF8.self)
        self.function = function
        self.originalBytes = ShortBytes(original.prefix(Int(originals)))
        self.displacedSize = Int(displaced)
        self.instructions = instructions
        self.slotOffsets = slots
        self.code = Array(bytes.dropFirst(Int(codeOffset)).prefix(Int(total - codeOffset)))
        size = Int(total)
    }

    init(kind: Kind, name: String, code: [UInt8]) {
        self.kind = kind
        self.name = name
        self.code = code
    }
}

/// Little-endian bytes, appended.
struct ByteWriter {
    var bytes: [UInt8] = []

    mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }

    mutating func pad(to count: Int) {
        if bytes.count < count { bytes += Array(repeating: 0, count: count - bytes.count) }
    }
}

/// Little-endian bytes, read with every access checked.
struct ByteReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func bytes(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func u32() -> UInt32? {
        bytes(4).map { $0.reversed().reduce(0) { $0 << 8 | UInt32($1) } }
    }

    mutating func u64() -> UInt64? {
        bytes(8).map { $0.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    }
}
