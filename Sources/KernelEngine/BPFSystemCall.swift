import CLinux
import Glibc
import LinuxProcess
import Synchronization

/// bpf(2). The attributes of a command are written by their offsets in `union bpf_attr`, so that a program built
/// with old headers knows new commands, and the size is that of what is used: older kernels take no more.
enum BPFCommand: UInt32 {
    case mapCreate = 0
    case mapLookup = 1
    case mapUpdate = 2
    case mapDelete = 3
    case mapNextKey = 4
    case programLoad = 5
    case pin = 6
    case getPinned = 7
    case testRun = 10
    case nextProgramID = 11
    case nextMapID = 12
    case programByID = 13
    case information = 15
    case openRawTracepoint = 17
    case btfLoad = 18
    case btfByID = 19
    case mapFreeze = 22
    case nextBTFID = 23
    case linkCreate = 28
    case linkByID = 30
    case nextLinkID = 31
    case iteratorCreate = 33
}

/// The attributes of one command.
struct BPFAttributes {
    private(set) var bytes: [UInt8] = []

    mutating func set(_ offset: Int, _ value: UInt32) { write(offset, value) }
    mutating func set(_ offset: Int, _ value: Int32) { write(offset, UInt32(bitPattern: value)) }
    mutating func set(_ offset: Int, _ value: UInt64) { write(offset, value) }
    mutating func set(_ offset: Int, _ pointer: UnsafeRawPointer?) { write(offset, UInt64(UInt(bitPattern: pointer))) }

    /// A name as the kernel takes it: at most 15 of the characters it allows.
    mutating func set(_ offset: Int, name: String) {
        var characters = name.utf8.map { byte -> UInt8 in
            let isAllowed = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95 || byte == 46
            return isAllowed ? byte : 95
        }
        characters = Array(characters.prefix(15)) + [0]
        reserve(offset + 16)
        for (index, byte) in characters.enumerated() { bytes[offset + index] = byte }
    }

    func u32(_ offset: Int) -> UInt32 {
        guard offset + 4 <= bytes.count else { return 0 }
        return (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * $1) }
    }

    /// For system calls other than bpf(2) that take such a struct.
    mutating func withBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeMutableBytes(body)
    }

    private mutating func reserve(_ count: Int) {
        if bytes.count < count { bytes += Array(repeating: 0, count: count - bytes.count) }
    }

    private mutating func write<Value: FixedWidthInteger>(_ offset: Int, _ value: Value) {
        reserve(offset + MemoryLayout<Value>.size)
        withUnsafeBytes(of: value.littleEndian) { source in
            for index in source.indices { bytes[offset + index] = source[index] }
        }
    }

    /// Runs the command; what it returns, or -errno. The kernel may write into the attributes.
    mutating func run(_ command: BPFCommand) -> Int {
        while true {
            let result = bytes.withUnsafeMutableBytes { buffer in
                clinux_syscall(
                    clinux_sys_bpf, UInt(command.rawValue), UInt(bitPattern: buffer.baseAddress), UInt(buffer.count), 0, 0, 0)
            }
            // A verifier that was interrupted wants to be asked again.
            if result != -Int(EAGAIN), result != -Int(EINTR) { return result }
        }
    }

    /// Why the kernel refuses a command, in its own words: `BPF_COMMON_ATTRS` (Linux 7.0) has it write them down for commands
    /// other than loading programs, too. Nil where it says nothing, as older kernels do. The command failed before, so that
    /// doing it once more changes nothing.
    func explanation(of command: BPFCommand) -> String? {
        var log = [UInt8](repeating: 0, count: 4096)
        let size = UInt32(log.count)
        log.withUnsafeMutableBytes { log in
            // struct bpf_common_attr: log_buf, log_size, log_level, log_true_size
            var common = BPFAttributes()
            common.set(16, UInt32(0))
            common.set(0, UnsafeRawPointer(log.baseAddress))
            common.set(8, size)
            common.set(12, UInt32(1))
            common.set(20, UInt32(0))
            var attributes = self
            let result = attributes.withBytes { own in
                common.withBytes { common in
                    clinux_syscall(
                        clinux_sys_bpf, UInt(command.rawValue | Self.commonAttributes), UInt(bitPattern: own.baseAddress),
                        UInt(own.count), UInt(bitPattern: common.baseAddress), UInt(common.count), 0)
                }
            }
            if result >= 0 { close(Int32(result)) }
        }
        let text = String(decoding: log.prefix { $0 != 0 }, as: UTF8.self)
        return text.split(separator: "\n").last.map(String.init)
    }

    /// `BPF_COMMON_ATTRS`
    private static let commonAttributes: UInt32 = 1 << 16

    /// The same for a command that gives a descriptor.
    mutating func open(_ command: BPFCommand) -> Result<BPFDescriptor, Errno> {
        let result = run(command)
        return result >= 0 ? .success(BPFDescriptor(Int32(result))) : .failure(Errno(Int32(-result)))
    }
}

/// An error number.
struct Errno: Error, Hashable, CustomStringConvertible {
    let number: Int32
    init(_ number: Int32) { self.number = number }

    static let notSupported = LinkRefusal.notSupported

    /// What EMFILE means here: nothing more can be attached.
    static let tooManyFiles = "too many open files: a function takes two, and four where its session is split"

    var description: String {
        switch number {
        case EMFILE, ENFILE: "\(Self.tooManyFiles); allow more with 'ulimit -Hn NUMBER', or attach to fewer"
        case Self.notSupported: "not supported by this kernel (ENOTSUPP)"
        default: String(cString: clinux_error_text(number))
        }
    }
}

/// A map, program, link or BTF of the kernel: it lives as long as somebody holds it.
final class BPFDescriptor: Sendable {
    let number: Int32
    private let isClosed = Atomic<Bool>(false)

    init(_ number: Int32) { self.number = number }
    deinit { close() }

    /// Before its time: nobody uses it any more, though somebody may hold it.
    func close() {
        if !isClosed.exchange(true, ordering: .relaxed) { _ = Glibc.close(number) }
    }
}

enum BPFObjects {
    /// Ids of all objects of a sort, ascending.
    static func ids(_ next: BPFCommand) -> Result<[UInt32], Errno> {
        var ids: [UInt32] = []
        var last: UInt32 = 0
        while true {
            var attributes = BPFAttributes()
            attributes.set(0, last)
            attributes.set(4, UInt32(0))
            attributes.set(8, UInt32(0))
            let result = attributes.run(next)
            if result == -Int(ENOENT) { return .success(ids) }
            guard result >= 0 else { return .failure(Errno(Int32(-result))) }
            last = attributes.u32(4)
            ids.append(last)
        }
    }

    static func open(_ command: BPFCommand, id: UInt32) -> BPFDescriptor? {
        var attributes = BPFAttributes()
        attributes.set(0, id)
        attributes.set(4, UInt32(0))
        attributes.set(8, UInt32(0))
        return try? attributes.open(command).get()
    }

    /// `BPF_OBJ_GET_INFO_BY_FD`; `information` may hold pointers for the kernel to fill.
    static func information(_ descriptor: Int32, _ information: inout BPFAttributes) -> Bool {
        var bytes = information.bytes
        let result = bytes.withUnsafeMutableBytes { buffer in
            var attributes = BPFAttributes()
            attributes.set(0, descriptor)
            attributes.set(4, UInt32(buffer.count))
            attributes.set(8, UnsafeRawPointer(buffer.baseAddress))
            return attributes.run(.information)
        }
        information = BPFAttributes(bytes: bytes)
        return result >= 0
    }
}
