import BTF
import ELF
import PlainText

/// Why an object cannot be used; the description is one line for the user.
package enum ObjectError: Error, Hashable, Sendable, CustomStringConvertible {
    case elf(ELFError)
    case btf(name: String, BTFError)
    /// An ELF file, but not made by `clang -target bpf -c`.
    case notBPF(name: String, found: String)
    /// Something that BPF has and this program does not.
    case unsupported(name: String, what: String)
    /// The parts of the file contradict each other.
    case malformed(name: String, what: String)

    package var description: String { text.escapingControls() }

    private var text: String {
        switch self {
        case .elf(.notELF(let name)): "\(name) is not an ELF file; an object is made with clang -target bpf -O2 -g -c"
        case .elf(let error): error.description
        case .btf(let name, let error): "\(name): \(error)"
        case .notBPF(let name, let found):
            "\(name) is not a BPF object (\(found)); compile it with clang -target bpf -O2 -g -c"
        case .unsupported(let name, let what): "\(name): \(what)"
        case .malformed(let name, let what): "\(name) is damaged: \(what)"
        }
    }
}
