import CLinux
import Glibc

/// Turns the names of a linker back into those of the source.
package enum Demangler {
    /// The source's name, or nil when the name is not mangled (or not well-formed).
    package static func demangle(_ name: String) -> String? {
        let bytes = name.utf8
        // Longer names take the demanglers too long.
        guard bytes.count >= 3, bytes.count <= 1 << 14 else { return nil }
        if name.hasPrefix("_R") || name.hasPrefix("__R") {
            return RustV0.demangle(name)
        }
        if name.hasPrefix("_ZN") || name.hasPrefix("__ZN"), let rust = RustLegacy.demangle(name) { return rust }
        if name.hasPrefix("_Z") || name.hasPrefix("__Z") || name.hasPrefix("___Z") {
            // Mach-O's extra underscores; the demangler knows one.
            let plain = name.hasPrefix("___Z") ? String(name.dropFirst(2)) : name.hasPrefix("__Z") ? String(name.dropFirst()) : name
            return take(clinux_demangle_cxx(plain))
        }
        if name.hasPrefix("$s") || name.hasPrefix("_$s") || name.hasPrefix("$S") || name.hasPrefix("_$S")
            || name.hasPrefix("_T0") || name.hasPrefix("@__swiftmacro_") || name.hasPrefix("$e") || name.hasPrefix("_$e")
        {
            guard let text = take(clinux_demangle_swift(name, bytes.count)), text != name else { return nil }
            return text
        }
        return nil
    }

    private static func take(_ text: UnsafeMutablePointer<CChar>?) -> String? {
        guard let text else { return nil }
        defer { free(text) }
        return String(cString: text)
    }
}
