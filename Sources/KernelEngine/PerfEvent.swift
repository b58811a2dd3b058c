import CLinux
import Engine
import Glibc
import LinuxProcess

/// perf_event_open(2): a probe, tracepoint or counter that a program can be attached to.
struct PerfEvent {
    /// `struct perf_event_attr`, by its offsets.
    private var attributes = BPFAttributes()

    /// `PERF_TYPE_SOFTWARE` and its `PERF_COUNT_SW_CPU_CLOCK`, `PERF_TYPE_TRACEPOINT`; probes have types of their own.
    enum Sort: UInt32 {
        case software = 1
        case tracepoint = 2
    }

    private static let size: UInt32 = 112
    /// `PERF_FLAG_FD_CLOEXEC`
    private static let closeOnExec: UInt = 8

    init(type: UInt32, config: UInt64) {
        attributes.set(Int(Self.size) - 8, UInt64(0))
        attributes.set(0, type)
        attributes.set(4, Self.size)
        attributes.set(8, config)
    }

    /// Overflows so many times a second.
    mutating func sample(frequency: UInt64) {
        attributes.set(16, frequency)
        attributes.set(40, UInt64(1) << 10)
    }

    /// Samples are records that a program sends; a reader is woken by each.
    mutating func takeRecords() {
        // PERF_SAMPLE_RAW
        attributes.set(24, UInt64(1) << 10)
        attributes.set(16, UInt64(1))
        attributes.set(48, UInt32(1))
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
        text.withCString { text in
            var event = self
            event.attributes.set(56, UnsafeRawPointer(text))
            event.attributes.set(64, offset)
            return event.attach(program, cookie: cookie)
        }
    }

    /// By a link where the kernel has them for events (Linux 5.15), which also take a cookie.
    private static func attach(
        _ program: KernelProgram, to event: BPFDescriptor, cookie: UInt64
    ) -> Result<AttachedProgram, Errno> {
        var attributes = BPFAttributes()
        attributes.set(0, program.descriptor.number)
        attributes.set(4, event.number)
        // BPF_PERF_EVENT
        attributes.set(8, UInt32(41))
        attributes.set(12, UInt32(0))
        if cookie != 0 { attributes.set(16, cookie) }
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
