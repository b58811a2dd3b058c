/// What tells the copies of a module apart that are loaded more than once (`dlmopen`). It stands in `FunctionInfo.modulePath`:
/// the first copy's is the path, and a further one's the path, a NUL, and what tells it from the others.
package enum ModuleKey {
    package static func ofCopy(path: String, loadBias: UInt64) -> String { "\(path)\0\(loadBias)" }

    /// The path alone.
    package static func path(_ key: String) -> String {
        key.utf8.firstIndex(of: 0).map { String(key[..<$0]) } ?? key
    }
}
