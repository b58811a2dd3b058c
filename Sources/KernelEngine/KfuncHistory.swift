/// Which Linux has a function of the kernel's that programs may call (kfunc): those that programs of tracing ask for. Kfuncs
/// have no numbers that could tell, and come and go with the kernel's configuration.
package enum KfuncHistory {
    /// The first release with each.
    package static let releases: [(release: String, names: [String])] = [
        ("6.2", [
            "bpf_task_acquire", "bpf_task_release", "bpf_task_from_pid", "bpf_cgroup_acquire", "bpf_cgroup_release",
            "bpf_cgroup_ancestor", "bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_cast_to_kern_ctx", "bpf_rdonly_cast",
            "bpf_obj_new_impl", "bpf_obj_drop_impl",
        ]),
        ("6.3", ["bpf_cpumask_create", "bpf_cpumask_release", "bpf_cgroup_from_id", "bpf_rbtree_remove", "bpf_rbtree_first"]),
        ("6.4", ["bpf_dynptr_slice", "bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy", "bpf_refcount_acquire_impl"]),
        ("6.5", ["bpf_dynptr_adjust", "bpf_dynptr_is_null", "bpf_dynptr_size", "bpf_dynptr_clone", "bpf_task_under_cgroup"]),
        ("6.6", ["bpf_map_sum_elem_count"]),
        ("6.7", ["bpf_throw", "bpf_iter_task_new", "bpf_iter_css_new", "bpf_iter_task_vma_new"]),
        ("6.8", ["bpf_get_file_xattr", "bpf_task_get_cgroup1"]),
        ("6.9", ["bpf_arena_alloc_pages", "bpf_arena_free_pages"]),
        ("6.10", ["bpf_wq_init", "bpf_wq_start", "bpf_preempt_disable", "bpf_preempt_enable"]),
        ("6.11", ["bpf_iter_bits_new"]),
        ("6.12", ["bpf_get_task_exe_file", "bpf_put_file", "bpf_path_d_path", "bpf_copy_from_user_str", "bpf_get_dentry_xattr"]),
        ("6.13", ["bpf_iter_kmem_cache_new", "bpf_get_kmem_cache", "bpf_send_signal_task"]),
        ("6.14", ["bpf_task_from_vpid", "bpf_local_irq_save", "bpf_local_irq_restore"]),
        ("6.15", ["bpf_res_spin_lock", "bpf_res_spin_unlock", "bpf_copy_from_user_task_str"]),
        ("6.16", ["bpf_dynptr_copy"]),
        ("6.17", ["bpf_strcmp", "bpf_strlen", "bpf_strchr", "bpf_strstr"]),
    ]

    /// What to say of one that the running kernel has not.
    package static func advice(on name: String) -> String {
        let weak = "declare it __weak and ask with bpf_ksym_exists before using it"
        guard let release = releases.first(where: { $0.names.contains(name) })?.release else {
            return "which kernel or module has it is not known to fsession: load the module if there is one, or \(weak)"
        }
        return "Linux \(release) and later have it; \(weak)"
    }

    /// Those that a kernel of that version must have, or must not have, and has not, or has.
    package static func contradictions(major: Int, minor: Int) throws -> [String] {
        let types = try KernelTypes().vmlinux.types
        return releases.flatMap { entry -> [String] in
            let parts = entry.release.split(separator: ".").compactMap { Int($0) }
            guard parts.count == 2 else { return ["'\(entry.release)'"] }
            let isExpected = (parts[0], parts[1]) <= (major, minor)
            return entry.names.filter { (types.id(named: $0, .function) != nil) != isExpected }
        }
    }
}
