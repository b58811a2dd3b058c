import BPF
import BTF
import Glibc

/// A version of Linux.
package struct KernelVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let major, minor: Int

    package init(_ major: Int, _ minor: Int) { (self.major, self.minor) = (major, minor) }

    package var description: String { "\(major).\(minor)" }

    package static func < (left: KernelVersion, right: KernelVersion) -> Bool { (left.major, left.minor) < (right.major, right.minor) }

    /// The running kernel's; nil where its release does not begin with two numbers.
    package static let running: KernelVersion? = {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let parts = release.split(separator: ".").prefix(2).compactMap { Int($0.prefix { $0.isNumber }) }
        return parts.count == 2 ? KernelVersion(parts[0], parts[1]) : nil
    }()
}

/// Which Linux has what, release by release: the only place for it. Errors and the doctor take it from here, docs/kernel.md has it
/// as a table, and each virtual machine looks whether it is so.
package enum KernelHistory {
    /// What is no kind of programs, no map, helper or kfunc.
    package enum Feature: String, CaseIterable, Sendable {
        case trampolines = "trampolines on x86-64"
        case armTrampolines = "trampolines on arm64"
        case eventLinks = "links, with cookies, of probes, tracepoints and `perf_event`"
        case cookies = "cookies of functions' programs"
        case rawCookies = "cookies of `raw_tp` and `tp_btf`"
        case perCPUFlags = "`BPF_F_CPU`, `BPF_F_ALL_CPUS`"
        case reasons = "reasons in words (`BPF_COMMON_ATTRS`)"
    }

    /// What came with a release.
    package struct Release: Sendable {
        package let version: KernelVersion
        /// The last helper: their numbers were given one after the other.
        package let lastHelper: UInt32?
        package let kinds: [ProgramKind]
        package let maps: [MapType]
        /// Those that programs of tracing ask for; they have no numbers that could tell, and depend on the kernel's configuration.
        package let kfuncs: [String]
        package let features: [Feature]

        fileprivate init(
            _ major: Int, _ minor: Int, helpers lastHelper: UInt32? = nil, kinds: [ProgramKind] = [], maps: [MapType] = [],
            kfuncs: [String] = [], features: [Feature] = []
        ) {
            version = KernelVersion(major, minor)
            (self.lastHelper, self.kinds, self.maps, self.kfuncs, self.features) = (lastHelper, kinds, maps, kfuncs, features)
        }
    }

    package static let releases = [
        Release(3, 19, maps: [.hash, .array]),
        Release(4, 2, maps: [.progArray]),
        Release(4, 3, maps: [.perfEventArray]),
        Release(4, 6, maps: [.perCPUHash, .perCPUArray, .stackTrace]),
        Release(4, 7, kinds: [.tracepoint]),
        Release(4, 8, maps: [.cgroupArray]),
        Release(4, 9, kinds: [.perfEvent]),
        Release(4, 10, maps: [.lruHash, .lruPerCPUHash]),
        Release(4, 11, maps: [.lpmTrie]),
        Release(4, 12, maps: [.arrayOfMaps, .hashOfMaps]),
        Release(4, 14, maps: [.devMap, .sockMap]),
        Release(4, 15, maps: [.cpuMap]),
        // The types are older; that a perf event makes the probe, which it takes, is not.
        Release(4, 17, kinds: [.kprobe, .kretprobe, .ksyscall, .kretsyscall, .uprobe, .uretprobe, .rawTracepoint]),
        Release(4, 18, maps: [.xskMap, .sockHash]),
        Release(4, 19, maps: [.cgroupStorage, .reusePortSockArray]),
        Release(4, 20, maps: [.perCPUCgroupStorage, .queue, .stack]),
        Release(5, 2, kinds: [.rawTracepointWritable], maps: [.skStorage]),
        Release(5, 3, helpers: 110),
        Release(5, 4, maps: [.devMapHash]),
        Release(5, 5, helpers: 115, kinds: [.fentry, .fexit, .typedTracepoint], features: [.trampolines]),
        Release(5, 6, helpers: 121, maps: [.structOps]),
        Release(5, 7, helpers: 124, kinds: [.fmodRet, .lsm]),
        Release(5, 8, helpers: 135, kinds: [.iterator], maps: [.ringBuffer]),
        Release(5, 9, helpers: 141),
        Release(5, 10, helpers: 155, maps: [.inodeStorage]),
        Release(5, 11, helpers: 162, maps: [.taskStorage]),
        Release(5, 12, helpers: 163),
        Release(5, 13, helpers: 165),
        Release(5, 14, helpers: 168),
        Release(5, 15, helpers: 175, features: [.eventLinks]),
        Release(5, 16, helpers: 179, maps: [.bloomFilter]),
        Release(5, 17, helpers: 185),
        Release(5, 18, helpers: 193, kinds: [.kprobeMulti, .kretprobeMulti]),
        Release(5, 19, helpers: 203, features: [.cookies]),
        Release(6, 0, helpers: 207),
        Release(6, 1, helpers: 209, maps: [.userRingBuffer]),
        Release(
            6, 2, helpers: 211, maps: [.cgroupLocalStorage],
            kfuncs: [
                "bpf_task_acquire", "bpf_task_release", "bpf_task_from_pid", "bpf_cgroup_acquire", "bpf_cgroup_release",
                "bpf_cgroup_ancestor", "bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_cast_to_kern_ctx", "bpf_rdonly_cast",
                "bpf_obj_new_impl", "bpf_obj_drop_impl",
            ]),
        Release(6, 3, kfuncs: ["bpf_cpumask_create", "bpf_cpumask_release", "bpf_cgroup_from_id", "bpf_rbtree_remove", "bpf_rbtree_first"]),
        Release(
            6, 4,
            kfuncs: [
                "bpf_dynptr_slice", "bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy", "bpf_refcount_acquire_impl",
            ], features: [.armTrampolines]),
        Release(6, 5, kfuncs: ["bpf_dynptr_adjust", "bpf_dynptr_is_null", "bpf_dynptr_size", "bpf_dynptr_clone", "bpf_task_under_cgroup"]),
        Release(6, 6, kinds: [.uprobeMulti, .uretprobeMulti], kfuncs: ["bpf_map_sum_elem_count"]),
        Release(6, 7, kfuncs: ["bpf_throw", "bpf_iter_task_new", "bpf_iter_css_new", "bpf_iter_task_vma_new"]),
        Release(6, 8, kfuncs: ["bpf_get_file_xattr", "bpf_task_get_cgroup1"]),
        Release(6, 9, maps: [.arena], kfuncs: ["bpf_arena_alloc_pages", "bpf_arena_free_pages"]),
        Release(
            6, 10, kinds: [.kprobeSession], kfuncs: ["bpf_wq_init", "bpf_wq_start", "bpf_preempt_disable", "bpf_preempt_enable"],
            features: [.rawCookies]),
        Release(6, 11, kfuncs: ["bpf_iter_bits_new"]),
        Release(
            6, 12,
            kfuncs: [
                "bpf_get_task_exe_file", "bpf_put_file", "bpf_path_d_path", "bpf_copy_from_user_str", "bpf_get_dentry_xattr",
            ]),
        Release(6, 13, kinds: [.uprobeSession], kfuncs: ["bpf_iter_kmem_cache_new", "bpf_get_kmem_cache", "bpf_send_signal_task"]),
        Release(6, 14, kfuncs: ["bpf_task_from_vpid", "bpf_local_irq_save", "bpf_local_irq_restore"]),
        Release(6, 15, kfuncs: ["bpf_res_spin_lock", "bpf_res_spin_unlock", "bpf_copy_from_user_task_str"]),
        Release(6, 16, kfuncs: ["bpf_dynptr_copy"]),
        Release(6, 17, kfuncs: ["bpf_strcmp", "bpf_strlen", "bpf_strchr", "bpf_strstr"]),
        Release(6, 19, maps: [.instructionArray]),
        Release(7, 0, kinds: [.session], features: [.perCPUFlags, .reasons]),
        Release(7, 2, kinds: [.fentryMulti, .fexitMulti, .sessionMulti]),
    ]

    // MARK: Since when

    /// "Linux 5.5"
    package static func since(_ kind: ProgramKind) -> String { first { $0.kinds.contains(kind) } }
    package static func since(_ type: MapType) -> String { first { $0.maps.contains(type) } }
    package static func since(_ feature: Feature) -> String { first { $0.features.contains(feature) } }

    private static func first(_ holds: (Release) -> Bool) -> String {
        "Linux \(releases.first(where: holds)?.version.description ?? "of the future")"
    }

    /// What to say where a map cannot be made; nil where that is not because of its type.
    package static func advice(on type: MapType, running: KernelVersion? = .running) -> String? {
        guard let running, let release = releases.first(where: { $0.maps.contains(type) }), running < release.version else { return nil }
        return "Linux \(release.version) and later have maps of type \(type.kernelName)"
    }

    /// What to say of a helper that the running kernel has not.
    package static func advice(onHelper number: UInt32) -> String {
        guard number > 0, let release = releases.first(where: { number <= $0.lastHelper ?? 0 }) else {
            return "no kernel has a helper of that number"
        }
        return "Linux \(release.version) and later have that helper, where programs of this kind may call it"
    }

    /// What to say of a kfunc that the running kernel has not.
    package static func advice(onKfunc name: String) -> String {
        let weak = "declare it __weak and ask with bpf_ksym_exists before using it"
        guard let release = releases.first(where: { $0.kfuncs.contains(name) }) else {
            return "which kernel or module has it is not known to fsession: load the module if there is one, or \(weak)"
        }
        return "Linux \(release.version) and later have it; \(weak)"
    }

    // MARK: Against the running kernel

    /// What the running kernel must have, going by its version, and has not, or must not have and has; and how much was looked at.
    package static func contradictions(of running: KernelVersion) throws -> (names: [String], count: Int) {
        let types = try KernelTypes().vmlinux.types
        let mapTypes = KernelFeatures.enumerators(of: "bpf_map_type", types)
        var (wrong, count): ([String], Int) = ([], 0)
        func look(_ name: String, _ isThere: Bool, _ isExpected: Bool) {
            count += 1
            if isThere != isExpected { wrong.append(name) }
        }
        for release in releases {
            let isExpected = release.version <= running
            for kind in release.kinds {
                guard let isThere = KernelFeatures.has(kind, types) else { continue }
                look(kind.rawValue, isThere, isExpected)
            }
            for map in release.maps {
                let name = "BPF_MAP_TYPE_\(map.kernelName.uppercased())"
                // What is out of use has a word behind its name since.
                look(name, (mapTypes[name] ?? mapTypes[name + "_DEPRECATED"]) == Int64(map.rawValue), isExpected)
            }
            for name in release.kfuncs { look(name, types.id(named: name, .function) != nil, isExpected) }
            if release.features.contains(.reasons) {
                look("BPF_COMMON_ATTRS", KernelFeatures.enumerators(of: "bpf_cmd", types)["BPF_COMMON_ATTRS"] != nil, isExpected)
            }
        }
        // Behind the last helper stands one more enumerator; the first stands for none.
        let helpers = KernelFeatures.enumerators(of: "bpf_func_id", types).count - 2
        let last = releases.filter { $0.version <= running }.compactMap(\.lastHelper).last ?? 0
        look("\(helpers) helpers, not \(last)", helpers == Int(last), true)
        return (wrong, count)
    }
}
