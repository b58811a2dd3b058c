import CLinux
import Engine
import Glibc
import LinuxBPF
import LinuxProcess

/// perf_event_open(2): a probe, tracepoint or counter that a program can be attached to.
struct PerfEvent {
    private var attributes: PerfEventAttributes

    /// `PERF_FLAG_FD_CLOEXEC`
    private static let closeOnExec: UInt = 8

    /// A type may be one of the kernel's, or that of a sort of probes.
    init(type: UInt32, config: UInt64) {
        attributes = PerfEventAttributes {
            $0.type = type
            $0.size = UInt32(PerfEventAttributes.size)
            $0.config = config
        }
    }

    init(_ event: PerfSoftwareEvent) { self.init(type: PerfType.software.rawValue, config: UInt64(event.rawValue)) }

    /// Overflows so many times a second.
    mutating func sample(frequency: UInt64) {
        attributes.sampleFreq = frequency
        attributes.freq = 1
    }

    /// Samples are records that a program sends; a reader is woken by each.
    mutating func takeRecords() {
        attributes.sampleType = LinuxFlag.perfSampleRaw
        attributes.samplePeriod = 1
        attributes.wakeupEvents = 1
    }

    /// `PERF_EVENT_IOC_ENABLE`; 0 or -errno.
    static func enable(_ event: BPFDescriptor) -> Int { clinux_syscall(clinux_sys_ioctl, UInt(event.number), 0x2400, 0, 0, 0, 0) }

    /// Opened on one CPU, for all processes there.
    func open(cpu: Int32) -> Result<BPFDescriptor, Errno> {
        var attributes = attributes
        let result = attributes.withBytes { bytes in
            clinux_syscall(
                clinux_sys_perf_event_open, UInt(bitPattern: bytes.baseAddress), UInt(bitPattern: -1), UInt(bitPattern: Int(cpu)),
                UInt(bitPattern: -1), Self.closeOnExec, 0)
        }
        return result >= 0 ? .success(BPFDescriptor(Int32(result))) : .failure(Errno(Int32(-result)))
    }

    /// Opens the event and attaches a program to it.
    func attach(_ program: KernelProgram, cookie: UInt64, cpu: Int32 = 0) -> Result<AttachedProgram, Errno> {
        open(cpu: cpu).flatMap { event in Self.attach(program, to: event, cookie: cookie) }
    }

    /// The same for a probe, whose place is a text (a function's name, a file's path) and an offset.
    func attach(_ program: KernelProgram, at text: String, offset: UInt64, cookie: UInt64) -> Result<AttachedProgram, Errno> {
        AttributeArena.with { arena in
            var event = self
            // For a function `kprobe_func` and `probe_offset`, which are in the same places.
            event.attributes.uprobePath = arena.address(of: text)
            event.attributes.probeOffset = offset
            return event.attach(program, cookie: cookie)
        }
    }

    /// By a link where the kernel has them for events (`KernelHistory`), which also take a cookie.
    private static func attach(
        _ program: KernelProgram, to event: BPFDescriptor, cookie: UInt64
    ) -> Result<AttachedProgram, Errno> {
        var attributes = LinkCreate {
            $0.progFd = program.descriptor.number
            $0.targetFd = event.number
            $0.attachType = BPFAttachType.perfEvent.rawValue
            $0.perfEventBpfCookie = cookie
        }
        let link: BPFDescriptor
        switch attributes.open(.linkCreate) {
        case .success(let made): link = made
        case .failure(let error):
            guard error.number == EINVAL, cookie == 0 else { return .failure(error) }
            // PERF_EVENT_IOC_SET_BPF
            let result = clinux_syscall(
                clinux_sys_ioctl, UInt(event.number), 0x4004_2408, UInt(program.descriptor.number), 0, 0, 0)
            guard result >= 0 else { return .failure(Errno(Int32(-result))) }
            link = event
        }
        let result = enable(event)
        guard result >= 0 else { return .failure(Errno(Int32(-result))) }
        return .success(AttachedProgram(link: link, program: program.descriptor))
    }

    /// The type of a sort of probes ("kprobe", "uprobe") and the bit that means a function's return; nil where this
    /// kernel has none.
    static func probeType(_ name: String) -> (type: UInt32, returnBit: UInt64)? {
        let folder = "/sys/bus/event_source/devices/\(name)"
        func number(_ text: String?) -> UInt32? { text.flatMap { UInt32($0.drop { !$0.isNumber }.prefix { $0.isNumber }) } }
        guard let type = number(try? WholeFile.text("\(folder)/type")) else { return nil }
        return (type, 1 << UInt64(number(try? WholeFile.text("\(folder)/format/retprobe")) ?? 0))
    }
}
