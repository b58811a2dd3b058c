import ELF
import Glibc

/// The dynamic linker of a process, as it shows itself to debuggers (`struct r_debug` of link.h).
package struct DynamicLinker: Sendable {
    /// `_dl_debug_state`, an empty function that it calls whenever its list of libraries changes.
    package let notification: UInt64
    /// glibc's `_r_debug`, or musl's `_dl_debug_addr`, which holds its address.
    private let record: UInt64?
    private let isPointer: Bool

    /// The dynamic linker in a module; nil where there is none.
    package init?(in module: Module) {
        var found: [String: UInt64] = [:]
        for table in [try? module.file.dynamicSymbols, try? module.file.symbols] {
            guard let table, found["_dl_debug_state"] == nil else { continue }
            for symbol in table where symbol.isDefined {
                let name = table.name(of: symbol)
                if DynamicLinker.names.contains(name) { found[name] = symbol.value &+ module.loadBias }
            }
        }
        guard let notification = found["_dl_debug_state"] else { return nil }
        self.notification = notification
        record = found["_r_debug"] ?? found["_dl_debug_addr"]
        isPointer = found["_r_debug"] == nil
    }

    /// The one that lies at `base`, the process's AT_BASE.
    init?(at base: UInt64, in pid: pid_t) {
        guard let module = (try? ModuleList(pid: pid))?.module(at: base) else { return nil }
        self.init(in: module)
    }

    private static let names: Set = ["_dl_debug_state", "_r_debug", "_dl_debug_addr"]
    /// glibc has 16 namespaces.
    private static let maximumNamespaces = 64

    private enum Offset {
        static let call: UInt64 = 16
        static let state: UInt64 = 24
        /// Since version 2: the next namespace's.
        static let next: UInt64 = 40
    }

    /// Whether the lists of libraries are complete (RT_CONSISTENT): none of the libraries that are on their way is still to be
    /// mapped. Nil where that cannot be told.
    package func isConsistent(in memory: borrowing ProcessMemory) -> Bool? {
        guard var record else { return nil }
        do {
            if isPointer { record = try memory.load(UInt64.self, at: record) }
            // Nobody has been called yet: there is no list.
            if try memory.load(UInt64.self, at: record &+ Offset.call) == 0 { return false }
            for _ in 0..<DynamicLinker.maximumNamespaces {
                if try memory.load(Int32.self, at: record &+ Offset.state) != 0 { return false }
                guard try memory.load(Int32.self, at: record) >= 2 else { return true }
                record = try memory.load(UInt64.self, at: record &+ Offset.next)
                if record == 0 { return true }
            }
            return nil
        } catch {
            return nil
        }
    }
}
