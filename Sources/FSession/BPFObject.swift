import BPF
import BTF
import LinuxProcess

/// A BPF object file, as `clang -target bpf -g` makes it: programs, maps, global variables.
///
/// ```swift
/// let object = try BPFObject(contentsOf: "latency.bpf.o")
/// for program in object.programs { print(program.name, program.section) }
/// ```
public struct BPFObject: Sendable {
    /// A program of an object: a function with a section name such as `fsession/libz:deflate`.
    public struct Program: Sendable {
        /// The name of its C function.
        public let name: String
        /// The section's name: what the program is and where it wants to be attached.
        public let section: String
        /// Its instructions in the syntax of the kernel's verifier log, a line each, with the source lines between.
        public let listing: String
    }

    var object: BPF.Object

    /// Reads the object file at `path`.
    /// - Throws: ``SessionError`` with the code `object`: no such file, no ELF file, not for BPF, damaged, or
    ///   with a section, map type or extern that fsession does not know.
    public init(contentsOf path: String) throws(SessionError) {
        let bytes: [UInt8]
        do throws(ProcessError) {
            bytes = try WholeFile.bytes(path)
        } catch {
            throw SessionError(.object, "\(error)")
        }
        do throws(ObjectError) {
            object = try BPF.Object(bytes: bytes, name: path)
        } catch {
            throw SessionError(.object, "\(error)")
        }
    }

    /// The programs, in the file's order.
    public var programs: [Program] {
        object.programs.map { program in
            Program(name: program.name, section: program.section.name, listing: Listing.text(of: program, in: object))
        }
    }

    /// The maps' names, the sections of global variables included.
    public var mapNames: [String] { object.maps.map(\.name) }
}
