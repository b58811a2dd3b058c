import BTF
import Engine
import Glibc
import LinuxBPF
import LinuxProcess

/// The kernel's own types: those of vmlinux, and those of each module, read when they are asked for.
struct KernelTypes {
    /// vmlinux or a module.
    struct Source {
        /// "vmlinux" or the module's name.
        let name: String
        let types: BTFIndex
        /// Nil for vmlinux, which the kernel knows by the number 0.
        let descriptor: BPFDescriptor?
    }

    static let folder = "/sys/kernel/btf"

    let vmlinux: Source
    private var modules: [String: Source] = [:]
    private var descriptors: [String: BPFDescriptor]?

    init() throws(EngineError) {
        let types = try Self.read("vmlinux", base: nil)
        vmlinux = Source(name: "vmlinux", types: types, descriptor: nil)
    }

    private static func read(_ name: String, base: BTFIndex?) throws(EngineError) -> BTFIndex {
        let path = "\(folder)/\(name)"
        let bytes: [UInt8]
        do throws(ProcessError) {
            bytes = try WholeFile.bytes(path)
        } catch {
            throw .kernel(
                doing: "read the kernel's types",
                because: access("\(folder)/vmlinux", F_OK) == 0
                    ? "\(error)" : "\(path) does not exist: this kernel was built without CONFIG_DEBUG_INFO_BTF")
        }
        do throws(BTFError) {
            return try BTFIndex(bytes: bytes, base: base)
        } catch {
            throw .kernel(doing: "read the types in \(path)", because: "\(error); if something is mounted over it, umount that")
        }
    }

    /// The names of the loaded modules that have types.
    static var moduleNames: [String] { Directory.names(folder).filter { $0 != "vmlinux" } }

    /// A module that is loaded; nil if there is none of that name.
    mutating func module(_ name: String) throws(EngineError) -> Source? {
        if name == "vmlinux" || name == "kernel" { return vmlinux }
        if let known = modules[name] { return known }
        guard Self.moduleNames.contains(name) else { return nil }
        let source = Source(
            name: name, types: try Self.read(name, base: vmlinux.types), descriptor: try descriptor(of: name))
        modules[name] = source
        return source
    }

    /// vmlinux, then all modules.
    mutating func all() throws(EngineError) -> [Source] {
        var sources = [vmlinux]
        for name in Self.moduleNames.sorted() {
            if let module = try module(name) { sources.append(module) }
        }
        return sources
    }

    /// The kernel's own handle of a module's types, which program loads name it by.
    private mutating func descriptor(of name: String) throws(EngineError) -> BPFDescriptor? {
        if descriptors == nil {
            var found: [String: BPFDescriptor] = [:]
            switch BPFObjects.ids(.btfGetNextId) {
            case .failure(let error):
                throw .kernel(doing: "list the types of the kernel's modules", because: KernelAdvice.text(error))
            case .success(let ids):
                for id in ids {
                    guard let descriptor = BPFObjects.open(.btfGetFdById, id: id), let name = BTFName.of(descriptor),
                        !name.isEmpty
                    else { continue }
                    found[name] = descriptor
                }
            }
            descriptors = found
        }
        return descriptors?[name]
    }
}

/// What is known of loaded types.
enum BTFName {
    /// The name of a module; empty for the types of a program.
    static func of(_ descriptor: BPFDescriptor) -> String? {
        AttributeArena.with { arena in
            let name = arena.room(64)
            var information = BTFInfo {
                $0.name = UInt64(name)
                $0.nameLen = UInt32(name.count)
            }
            return BPFObjects.get(&information, of: descriptor) && information.kernelBtf == 1 ? name.text : ""
        }
    }

    /// All bytes of some BTF.
    static func bytes(of descriptor: BPFDescriptor) -> [UInt8]? {
        var information = BTFInfo()
        guard BPFObjects.get(&information, of: descriptor) else { return nil }
        return AttributeArena.with { arena in
            let bytes = arena.room(Int(information.btfSize))
            var information = BTFInfo {
                $0.btf = UInt64(bytes)
                $0.btfSize = UInt32(bytes.count)
            }
            return BPFObjects.get(&information, of: descriptor) ? Array(bytes) : nil
        }
    }
}

/// readdir(3)
enum Directory {
    static func names(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

/// What to do about an error number of bpf(2).
enum KernelAdvice {
    /// "integrity" or "confidentiality"; nil where nothing is locked, or securityfs does not tell.
    static var lockdown: String? {
        guard let text = try? WholeFile.text("/sys/kernel/security/lockdown"), let start = text.firstIndex(of: "["),
            let end = text.firstIndex(of: "]"), start < end
        else { return nil }
        let chosen = String(text[text.index(after: start)..<end])
        return chosen == "none" ? nil : chosen
    }

    static func text(_ error: Errno) -> String {
        switch error.number {
        case EPERM where geteuid() == 0 && lockdown != nil:
            "it is not permitted: the kernel is locked down (\(lockdown ?? "")); boot it without lockdown= to allow it"
        case EPERM:
            geteuid() == 0
                ? "it is not permitted, though fsession runs as root: the kernel, a security module or the container forbids it; run "
                    + "fsession outside of the container, or boot a kernel that allows it"
                : "it is not permitted; run fsession as root, or with CAP_BPF and CAP_PERFMON"
        case ENOSYS: "this kernel has no bpf(2)"
        default: "\(error)"
        }
    }
}
