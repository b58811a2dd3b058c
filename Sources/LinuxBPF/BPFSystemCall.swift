import CLinux
import Glibc
import Synchronization

/// The attributes of a command of bpf(2): a part of `union bpf_attr`.
package protocol BPFAttributes: KernelStructure {}

extension BPFAttributes {
    /// Runs the command; what it returns, or -errno. The kernel may write into the attributes.
    package mutating func run(_ command: BPFCommand) -> Int {
        let size = usedSize
        while true {
            let result = withBytes { bytes in
                clinux_syscall(clinux_sys_bpf, UInt(command.rawValue), UInt(bitPattern: bytes.baseAddress), UInt(size), 0, 0, 0)
            }
            // A verifier that was interrupted wants to be asked again.
            if result != -Int(EAGAIN), result != -Int(EINTR) { return result }
        }
    }

    /// The same for a command that gives a descriptor.
    package mutating func open(_ command: BPFCommand) -> Result<BPFDescriptor, Errno> {
        let result = run(command)
        return result >= 0 ? .success(BPFDescriptor(Int32(result))) : .failure(Errno(Int32(-result)))
    }

    /// Why the kernel refuses a command, in its own words: `BPF_COMMON_ATTRS` has it write them down for commands
    /// other than loading programs, too. Nil where it says nothing, as older kernels do. The command failed before, so that
    /// doing it once more changes nothing.
    package func explanation(of command: BPFCommand) -> String? {
        AttributeArena.with { arena in
            let log = arena.room(4096)
            var common = CommonAttributes {
                $0.logBuf = UInt64(log)
                $0.logSize = UInt32(log.count)
                $0.logLevel = 1
            }
            var attributes = self
            let size = usedSize
            let result = attributes.withBytes { own in
                common.withBytes { common in
                    clinux_syscall(
                        clinux_sys_bpf, UInt(command.rawValue | BPFCommand.commonAttrs.rawValue), UInt(bitPattern: own.baseAddress),
                        UInt(size), UInt(bitPattern: common.baseAddress), UInt(common.count), 0)
                }
            }
            if result >= 0 { close(Int32(result)) }
            return log.text.split(separator: "\n").last.map(String.init)
        }
    }
}

/// An error number.
package struct Errno: Error, Hashable, CustomStringConvertible {
    package let number: Int32
    package init(_ number: Int32) { self.number = number }

    /// `ENOTSUPP` of the kernel's inside, which it lets out.
    package static let notSupported: Int32 = 524

    /// What EMFILE means here: nothing more can be attached.
    package static let tooManyFiles = "too many open files: a function takes two, and four where its session is split"

    package var description: String {
        switch number {
        case EMFILE, ENFILE: "\(Self.tooManyFiles); allow more with 'ulimit -Hn NUMBER', or attach to fewer"
        case Self.notSupported: "not supported by this kernel (ENOTSUPP)"
        default: String(cString: clinux_error_text(number))
        }
    }
}

/// A map, program, link or BTF of the kernel: it lives as long as somebody holds it.
package final class BPFDescriptor: Sendable {
    package let number: Int32
    private let isClosed = Atomic<Bool>(false)

    package init(_ number: Int32) { self.number = number }
    deinit { close() }

    /// Before its time: nobody uses it any more, though somebody may hold it.
    package func close() {
        if !isClosed.exchange(true, ordering: .relaxed) { _ = Glibc.close(number) }
    }
}

/// What is loaded in the kernel, by whomever.
package enum BPFObjects {
    /// Ids of all objects of a sort, ascending.
    package static func ids(_ next: BPFCommand) -> Result<[UInt32], Errno> {
        var ids: [UInt32] = []
        while true {
            var attributes = ObjectByID { $0.startId = ids.last ?? 0 }
            let result = attributes.run(next)
            if result == -Int(ENOENT) { return .success(ids) }
            guard result >= 0 else { return .failure(Errno(Int32(-result))) }
            ids.append(attributes.nextId)
        }
    }

    package static func open(_ command: BPFCommand, id: UInt32) -> BPFDescriptor? {
        var attributes = ObjectByID { $0.startId = id }
        return try? attributes.open(command).get()
    }

    /// `BPF_OBJ_GET_INFO_BY_FD`; `information` may hold addresses for the kernel to write to.
    package static func get<Information: KernelStructure>(_ information: inout Information, of descriptor: BPFDescriptor) -> Bool {
        information.withBytes { bytes in
            var attributes = ObjectGetInfo {
                $0.bpfFd = descriptor.number
                $0.infoLen = UInt32(bytes.count)
                $0.info = UInt64(bytes)
            }
            return attributes.run(.objGetInfoByFd) >= 0
        }
    }
}
