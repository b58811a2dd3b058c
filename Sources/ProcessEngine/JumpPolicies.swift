import LinuxProcess
import Trampoline

/// What `FunctionPolicy` says of functions holds for those that leave to them by a jump, at any depth and across modules.
enum JumpPolicies {
    /// The policies of all functions of some modules that not everything is possible with, by address of their files.
    static func solve(_ graphs: [String: JumpGraph]) -> [String: [UInt64: FunctionPolicy]] {
        var policies = graphs.mapValues(\.named)
        var byName: [String: FunctionPolicy] = [:]
        // What is known of a name by the functions that have it: all of them, as which one is meant only the linker knows.
        func note(_ path: String, _ graph: JumpGraph) {
            for (address, policy) in policies[path] ?? [:] {
                for name in graph.names(at: address) { byName[name] = (byName[name] ?? .any).stricter(policy) }
            }
        }
        var memories: [String: JumpGraph.Memory] = [:]
        let sorted = graphs.sorted { $0.key < $1.key }
        for (path, graph) in sorted { note(path, graph) }
        // Each round follows the jumps from one module into another; there are few.
        for _ in 0..<100 {
            var isAnyNew = false
            for (path, graph) in sorted {
                let isNew = graph.spread(&policies[path, default: [:]], &memories[path, default: .init()]) { name in
                    FunctionPolicy.of(name: name).stricter(byName[name] ?? .any)
                }
                guard isNew else { continue }
                isAnyNew = true
                note(path, graph)
            }
            if !isAnyNew { break }
        }
        return policies
    }
}
