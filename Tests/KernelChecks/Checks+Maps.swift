import BPF
import BTF
import Engine
import FSession
import Glibc
import KernelEngine

extension Check {
    /// Maps, and what programs ask of the kernel's configuration.
    static let maps = [
        Check("maps in maps are filled with the maps that they hold from the start") {
            let bed = try await MapBed()
            try await bed.attach("counts")
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            try bed.expect("left", 3, bed.word("left"))
            try bed.expect("right", 603, bed.word("right"))
            try await bed.end()
        },
        Check("a pinned map stays, and the next object that has it goes on with it; one of another shape is refused") {
            unlink("/sys/fs/bpf/fsession_pinned")
            let calls = try Calls(.fentry)
            for round in 1...2 {
                let bed = try await MapBed()
                try await bed.attach("counts")
                try calls.run()
                try bed.expect("pinned", UInt64(2 * round), bed.word("fsession_pinned"))
                _ = await bed.engine.end()
            }
            unlink("/sys/fs/bpf/fsession_pinned")
            try Shell.run("bpftool map create /sys/fs/bpf/fsession_pinned type array key 4 value 16 entries 1 name other")
            defer { unlink("/sys/fs/bpf/fsession_pinned") }
            do {
                _ = try await MapBed()
                throw Failure("the other map was taken")
            } catch let error as EngineError {
                guard error.description.contains("another map is pinned at /sys/fs/bpf/fsession_pinned") else { throw error }
            }
        },
        Check("records of a perf event array come through, and the lost ones are counted") {
            let bed = try await MapBed()
            try await bed.attach("sends")
            let calls = try Calls(.fentry)
            for _ in 0..<1000 { try calls.run() }
            let summary = await bed.engine.end()
            var count: UInt64 = 0
            while let events = await bed.engine.session.queue.next() {
                for event in events {
                    guard case .records(let batch) = event else { continue }
                    for record in 0..<batch.count {
                        let bytes = batch.bytes[batch.range(of: record)]
                        guard bytes.count >= 16, bytes[bytes.startIndex] == 2, bytes[bytes.startIndex + 8] == 3 else {
                            throw Failure("a record of \(bytes.count) bytes: \(Array(bytes))")
                        }
                        count += 1
                    }
                }
            }
            try await bed.end()
            let lost = summary.drops.reduce(0) { $0 + $1.count }
            guard count + lost == 1000, count > 0 else { throw Failure("\(count) records, \(lost) lost") }
        },
        Check("__kconfig variables have what the kernel was configured with, also where that is packed") {
            var name = utsname()
            uname(&name)
            let release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            mkdir("/boot", 0o755)
            let path = "/boot/config-\(release)"
            for isPacked in [false, true] {
                try Shell.run("cp kernel.config \(path)" + (isPacked ? " && gzip -f \(path) && mv \(path).gz \(path)" : ""))
                defer { unlink(path) }
                let bed = try await MapBed("configured")
                try await bed.attach("configured")
                try Calls(.fentry).run()
                let parts = release.split(whereSeparator: { !$0.isNumber }).compactMap { UInt64($0) }
                let version = parts[0] << 16 + parts[1] << 8 + min(parts[2], 255)
                for (variable, value) in [
                    ("version", version), ("wrapped", 1), ("cookies", 1), ("yes", 1), ("module", 2), ("number", 0x123),
                    ("text", 0x636261), ("absent", 0),
                ] {
                    try bed.expect(variable, value, try bed.variable(variable))
                }
                try await bed.end()
            }
            do {
                let bed = try await MapBed("configured")
                try await bed.end()
                throw Failure("it was loaded without a configuration")
            } catch let error as EngineError {
                guard error.description.contains("CONFIG_FSESSION_YES"), error.description.contains("__weak") else { throw error }
            }
        },
        Check("BPF_F_ALL_CPUS and BPF_F_CPU write per-CPU maps, where the kernel has them") {
            let bed = try await MapBed()
            try await bed.attach("sends")
            guard let map = bed.map("each") else { throw Failure("no map") }
            let value = [UInt8(42)] + Array(repeating: 0, count: 7)
            let result = map.write([0, 0, 0, 0], [value], flags: 16)
            guard result == 0 else {
                guard !KernelEngine.hasNativeSessions, result == -EINVAL else { throw Failure("errno \(-result)") }
                return try await bed.end()
            }
            guard map.read([0, 0, 0, 0])?.allSatisfy({ $0 == value }) == true else { throw Failure("not all have it") }
            let other = [UInt8(7)] + Array(repeating: 0, count: 7)
            guard map.write([0, 0, 0, 0], [other], flags: 8 | 1 << 32) == 0 else { throw Failure("one CPU's cannot be written") }
            guard map.read([0, 0, 0, 0]) == [value, other] else { throw Failure("\(map.read([0, 0, 0, 0]) ?? [])") }
            try await bed.end()
        },
        Check("an iterator goes over the elements of the map that is named behind it, and of no other") {
            let bed = try await MapBed("elements")
            guard let map = bed.map("held") else { throw Failure("no map") }
            for number in UInt8(1)...3 {
                guard map.write([number, 0, 0, 0], [[number * 10, 0, 0, 0, 0, 0, 0, 0]], flags: 0) == 0 else { throw Failure("not written") }
            }
            for (name, piece) in [
                ("goes_over_nothing", "as in 'iter/bpf_map_elem:MAP'"), ("goes_over_unknown", "there is no map 'unknown'"),
                ("reads_too_much", "does not let this program go over 'small'"),
            ] {
                do throws(EngineError) {
                    try await bed.attach(name)
                } catch {
                    guard error.description.contains(piece), !error.description.contains("\n") else { throw Failure(error.description) }
                    continue
                }
                throw Failure("\(name) was attached")
            }
            try await bed.attach("goes_over")
            try await bed.end()
            var text = ""
            while let events = await bed.engine.session.queue.next() {
                for case .print(_, _, _, let part) in events { text += part }
            }
            try bed.expect("the elements", ["1: 10", "2: 20", "3: 30"], text.split(separator: "\n").sorted())
        },
        Check("programs in a prog array are loaded with those that call them") {
            let bed = try await Bed("tails")
            try await bed.attach("starts_here")
            try await bed.attach("probe")
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            try bed.expect(["starts": 6, "ends": 6, "fell": 0])
            try await bed.end()
        },
    ]
}

/// An object loaded by the engine itself.
struct MapBed {
    let engine: KernelEngine
    private let loaded: EngineObject

    init(_ object: String = "maps") async throws {
        engine = try KernelEngine()
        loaded = try await engine.loadObject(try BPF.Object(path: "\(object).bpf.o"), LoadOptions())
    }

    func attach(_ name: String) async throws(EngineError) {
        guard let program = loaded.programs.first(where: { $0.name == name }) else { throw .request("there is no program \(name)") }
        _ = try await engine.attach([AttachRequest(program: program)])
    }

    func map(_ name: String) -> (any EngineMap)? { loaded.maps.first { $0.name == name } }

    func word(_ name: String, offset: Int = 0) -> UInt64 {
        guard let value = map(name)?.read([0, 0, 0, 0])?.first, value.count >= offset + 8 else { return .max }
        return (0..<8).reduce(0) { $0 | UInt64(value[offset + $1]) << (8 * UInt64($1)) }
    }

    func variable(_ name: String) throws -> UInt64 {
        guard let types = loaded.object.btf else { throw Failure("no types") }
        for map in loaded.maps {
            guard let section = map.definition.valueTypeID, case .dataSection(_, let members) = types[section].kind else { continue }
            for member in members where types[member.type].name == name { return word(map.name, offset: Int(member.offset)) }
        }
        throw Failure("no variable \(name)")
    }

    func expect<Value: Equatable>(_ what: String, _ value: Value, _ actual: Value) throws {
        guard value == actual else { throw Failure("\(what) is \(actual), not \(value)") }
    }

    func end() async throws {
        _ = await engine.end()
        unlink("/sys/fs/bpf/fsession_pinned")
    }
}

enum Shell {
    static func run(_ command: String) throws {
        guard system(command) == 0 else { throw Failure("'\(command)' failed") }
    }
}
