import BPF
import BTF
import Engine
import Glibc
import LinuxBPF
import LinuxProcess

/// What the running kernel was configured with, for `__kconfig` variables: the text of its `.config`, and a few facts
/// that are in none.
struct KernelConfiguration {
    private let values: [String: String]
    private let release: String

    init() {
        var name = utsname()
        uname(&name)
        release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        values = Self.read(["/proc/config.gz", "/boot/config-\(release)", "/lib/modules/\(release)/config"])
    }

    private static func read(_ paths: [String]) -> [String: String] {
        for path in paths {
            guard let bytes = try? WholeFile.bytes(path), let text = bytes.starts(with: [0x1f, 0x8b]) ? Inflate.gzip(bytes) : bytes
            else { continue }
            return parse(text)
        }
        return [:]
    }

    /// Lines "CONFIG_HZ=250"; all others are comments.
    private static func parse(_ text: [UInt8]) -> [String: String] {
        var values: [String: String] = [:]
        for line in text.split(separator: UInt8(ascii: "\n")) where line.starts(with: Array("CONFIG_".utf8)) {
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
            values[String(decoding: line[..<equals], as: UTF8.self)] = String(decoding: line[(equals + 1)...], as: UTF8.self)
        }
        return values
    }

    /// The bytes of a variable; nil if this kernel has no such value.
    func bytes(_ name: String, type: BTF.TypeID, _ types: BTF, _ kernel: BTFIndex) throws(EngineError) -> [UInt8]? {
        let size = Int(types.size(of: type) ?? 0)
        func number(_ value: UInt64) -> [UInt8] {
            (0..<size).map { $0 < 8 ? UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) : 0 }
        }
        switch name {
        case "LINUX_KERNEL_VERSION": return number(version)
        case "LINUX_HAS_SYSCALL_WRAPPER": return number(SystemCallNames.isWrapped ? 1 : 0)
        case "LINUX_HAS_BPF_COOKIE":
            return number(KernelFeatures.enumerators(of: "bpf_func_id", kernel).keys.contains("BPF_FUNC_get_attach_cookie") ? 1 : 0)
        default: break
        }
        guard let text = values[name] else { return nil }
        func wrong(_ what: String) -> EngineError {
            .kernel(doing: "give '\(name)' its value", because: "this kernel has \(name)=\(text), which is \(what)")
        }
        let resolved = types.resolve(type) ?? type
        switch types[resolved].kind {
        case .array:
            guard text.hasPrefix("\""), text.hasSuffix("\""), text.utf8.count >= 2 else { throw wrong("no text") }
            let characters = Array(text.utf8.dropFirst().dropLast().prefix(max(size - 1, 0)))
            return characters + Array(repeating: 0, count: size - characters.count)
        case .integer(let integer):
            if ["y", "n", "m"].contains(text) {
                if integer.isBoolean {
                    guard text != "m" else { throw wrong("neither yes nor no: declare it as enum libbpf_tristate") }
                    return number(text == "y" ? 1 : 0)
                }
                guard size == 1 else { throw wrong("no number") }
                return Array(text.utf8)
            }
            return number(try self.number(text, wrong))
        case .enumeration:
            // enum libbpf_tristate
            guard let place = ["n", "y", "m"].firstIndex(of: text) else { return number(try self.number(text, wrong)) }
            return number(UInt64(place))
        default: throw wrong("of a type that it cannot have")
        }
    }

    private func number(_ text: String, _ wrong: (String) -> EngineError) throws(EngineError) -> UInt64 {
        let isHexadecimal = text.hasPrefix("0x") || text.hasPrefix("0X")
        if let value = isHexadecimal ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text) { return value }
        guard let negative = Int64(text) else { throw wrong("no number") }
        return UInt64(bitPattern: negative)
    }

    /// `KERNEL_VERSION(7, 2, 1)`
    private var version: UInt64 {
        let parts: [UInt64] = release.split(whereSeparator: { !$0.isNumber }).prefix(3).map { UInt64($0) ?? 0 } + [0, 0, 0]
        return parts[0] << 16 + parts[1] << 8 + min(parts[2], 255)
    }
}

/// The `__kconfig` variables of an object, together in a map that nobody can write.
struct ConfigurationMap {
    let map: KernelMap
    /// Where each lies, by its place among the object's externs.
    let offsets: [Int: Int32]

    /// Nil if the object has none.
    init?(_ object: Object, _ kernel: BTFIndex) throws(EngineError) {
        guard object.externs.contains(where: \.isConfiguration), let types = object.btf else { return nil }
        let configuration = KernelConfiguration()
        var contents: [UInt8] = []
        var offsets: [Int: Int32] = [:]
        for (place, extern) in object.externs.enumerated() where extern.isConfiguration {
            guard let type = extern.typeID, let size = types.size(of: type), size <= 4096 else {
                throw .kernel(doing: "load \(object.name)", because: "'\(extern.name)' has no type that a __kconfig variable can have")
            }
            let value = try configuration.bytes(extern.name, type: type, types, kernel)
            guard value != nil || extern.isWeak else {
                throw .kernel(
                    doing: "load \(object.name)",
                    because:
                        "the kernel's configuration has no \(extern.name), or cannot be read (/proc/config.gz, /boot/config-…); declare it __weak to do without"
                )
            }
            offsets[place] = Int32(contents.count)
            contents += value ?? Array(repeating: 0, count: Int(size))
            contents += Array(repeating: 0, count: (8 - contents.count % 8) % 8)
        }
        self.offsets = offsets
        map = try KernelMap(
            MapDefinition(
                // BPF_F_RDONLY_PROG
                name: ".kconfig", type: .array, keySize: 4, valueSize: UInt32(contents.count), maxEntries: 1, flags: LinuxFlag.bpfFRdonlyProg,
                section: .rodata, initialContents: contents), types: nil)
    }
}
