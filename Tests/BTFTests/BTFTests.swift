import BTF
import Testing
