import MachineCode
import Testing
import Trampoline
import TrampolineFunctions

#if arch(x86_64)
struct HarnessError: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// A function of the test process whose entry is displaced and jumps to a trampoline.
final class TracedFunction {
    let address: UInt64
    let entry: DisplacedEntry
    let convention: CallingConvention
    var lists: TrampolineLists
    private let area: UInt64
    private let areaSize = 1 << 16
    private var used: UInt64
    private var frames: [UnsafeMutableRawPointer] = []
    private var isPatched = false
    private(set) var image: TrampolineImage?
    var counters: UInt64?
    private var nextID = 1

    /// Displaces the function of that name.
    convenience init(
        _ name: String, _ convention: CallingConvention = .unknown, returns: Bool = true
    ) throws {
        guard let pointer = t_address(name) else { throw HarnessError("no function \(name)") }
        try self.init(symbol: name, UInt64(UInt(bitPattern: pointer)), convention, returns: returns)
    }

    /// Displaces the function of that symbol, wherever this program was loaded.
    convenience init(symbol: String, _ convention: CallingConvention = .unknown) throws {
        guard let function = FunctionSymbols.own?[symbol], let anchor = FunctionSymbols.own?["t_add"],
            let loaded = t_address("t_add")
        else { throw HarnessError("no symbol \(symbol)") }
        let slide = UInt64(UInt(bitPattern: loaded)) &- anchor.address
        try self.init(symbol: symbol, function.address &+ slide, convention)
    }

    init(
        symbol: String, _ address: UInt64, _ convention: CallingConvention = .unknown, returns: Bool = true
    ) throws {
        guard let function = FunctionSymbols.own?[symbol] else { throw HarnessError("no symbol \(symbol)") }
        let memory = UnsafeRawBufferPointer(
            start: UnsafeRawPointer(bitPattern: UInt(address)), count: function.size + function.following.count)
        self.address = address
        self.convention = convention
        lists = TrampolineLists(functionReturns: returns)
        guard let area = t_map_near(UnsafeRawPointer(bitPattern: UInt(address)), areaSize) else {
            throw HarnessError("no memory near \(symbol)")
        }
        self.area = UInt64(UInt(bitPattern: area))
        entry = try X86_64.displace(
            DisplacementRequest(
                function: CodeRange(address: address, bytes: Array(memory.prefix(function.size))),
                following: Array(memory.dropFirst(function.size))),
            at: self.area)
        used = UInt64(entry.code.count + 15) / 16 * 16
        Self.write(entry.code, at: self.area)
        if let unwind = entry.unwind { register(unwind) }
    }

    deinit {
        remove()
        for frame in frames {
            t_deregister_frames(frame)
            frame.deallocate()
        }
    }

    private static func write(_ bytes: [UInt8], at address: UInt64) {
        UnsafeMutableRawPointer(bitPattern: UInt(address))?.copyMemory(from: bytes, byteCount: bytes.count)
    }

    private func register(_ unwind: UnwindEntry) {
        let bytes = unwind.description.bytes + [0, 0, 0, 0]
        let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 8)
        copy.copyMemory(from: bytes, byteCount: bytes.count)
        // Registered descriptions are found by the ranges in them.
        let range = unwind.description.offset + 8
        copy.storeBytes(of: unwind.start, toByteOffset: range, as: UInt64.self)
        copy.storeBytes(of: unwind.end - unwind.start, toByteOffset: range + 8, as: UInt64.self)
        t_register_frames(copy)
        frames.append(copy)
    }

    /// Links a program by its C name. The attach cookie tells events apart.
    @discardableResult
    func link(
        _ kind: TrampolineProgramKind, _ program: String, cookie: UInt64 = 0, usesCookie: Bool = false,
        usesTailCalls: Bool = false
    ) throws -> Int {
        guard let pointer = t_address(program) else { throw HarnessError("no program \(program)") }
        let id = nextID
        nextID += 1
        try lists.link(
            TrampolineLink(
                id: id, programID: id, kind: kind, programAddress: UInt64(UInt(bitPattern: pointer)),
                attachCookie: cookie, usesCookie: usesCookie, usesTailCalls: usesTailCalls))
        return id
    }

    /// Makes a new image and lets the function's entry jump to it.
    func install() throws {
        guard let safeCopy = t_address("t_safe_copy") else { throw HarnessError("no t_safe_copy") }
        let at = area + used
        let image = try X86_64.image(
            lists, function: FunctionEntry(address: address, relocatedEntry: entry.bodyEntry),
            convention: convention, counters: counters.map { CallCounters(address: $0) }, safeCopy: UInt64(UInt(bitPattern: safeCopy)), at: at)
        guard used + UInt64(image.code.count) <= UInt64(areaSize) else { throw HarnessError("area is full") }
        Self.write(image.code, at: at)
        used += UInt64(image.code.count + 15) / 16 * 16
        register(image.unwind)
        self.image = image
        guard let jump = X86_64.jump(from: entry.patch.address, to: at) else {
            throw HarnessError("image out of reach")
        }
        try patch(Array(jump))
        isPatched = true
    }

    func remove() {
        guard isPatched else { return }
        try? patch(Array(entry.patch.original))
        isPatched = false
    }

    private func patch(_ bytes: [UInt8]) throws {
        guard let target = UnsafeMutableRawPointer(bitPattern: UInt(entry.patch.address)),
            t_make_writable(target, 5)
        else { throw HarnessError("cannot write to the function") }
        t_patch(target, bytes)
    }
}

/// What the programs of this thread recorded.
func recordedEvents() -> [t_event] { (0..<t_log_count()).map { t_log_event($0) } }

extension t_event {
    var isReturn: Bool { metadata >> 63 == 1 }
    var argumentCount: Int { Int(metadata & 0xFF) }
    var cookieIndex: Int { Int(metadata >> 8 & 0xFF) }
    /// "12" for the program with attach cookie 12 at entry, "12!" at exit.
    var label: String { "\(attach_cookie)\(isReturn ? "!" : "")" }
    func argument(_ index: Int) -> UInt64 {
        withUnsafeBytes(of: arguments) { $0.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) }
    }
}

/// Tests that change code of this process run one after another.
@Suite(.serialized) struct TrampolineSuite {}
#endif
