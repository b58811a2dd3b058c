import Glibc

/// Libraries that are on this machine but not in the process yet: a pattern may wait for one of them.
enum InstalledLibraries {
    private static let folders = [
        "/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib",
        "/lib/\(triple)", "/usr/lib/\(triple)", "/usr/local/lib/\(triple)",
    ]

    #if arch(x86_64)
    private static let triple = "x86_64-linux-gnu"
    #else
    private static let triple = "aarch64-linux-gnu"
    #endif

    /// Whether a library that a pattern names, by path, file name or stem, is there.
    static func contains(_ module: Glob) -> Bool {
        if module.text.hasPrefix("/") { return !module.isPattern && access(module.text, R_OK) == 0 }
        return folders.contains { folder in
            names(in: folder).contains { ModuleName.stem($0) != nil && ModuleName.matches(module, path: $0, soname: nil) }
        }
    }

    private static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names
    }
}
