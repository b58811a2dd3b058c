extension RandomAccessCollection {
    /// The first index whose element belongs in the second half; `endIndex` if none does. All elements of the second half come
    /// behind those of the first: a binary search.
    @inlinable
    package func partitioningIndex(where belongsInSecondHalf: (Element) -> Bool) -> Index {
        var low = startIndex
        var count = self.count
        while count > 0 {
            let half = count / 2
            let middle = index(low, offsetBy: half)
            if belongsInSecondHalf(self[middle]) {
                count = half
            } else {
                low = index(after: middle)
                count -= half + 1
            }
        }
        return low
    }
}
