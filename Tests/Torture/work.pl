use strict; use warnings; use List::Util qw(sum);
my (%count, @all);
srand(1);
for my $i (1 .. 20000) { my $w = join '', map { chr(97 + ($i * $_) % 26) } 1 .. 4; $count{$w}++; push @all, $w if $w =~ /^(a|b).*[xyz]$/; }
my @sorted = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print scalar(@all), " $sorted[0] $count{$sorted[0]} ", sum(values %count), "\n";
my $text = "the quick brown fox " x 500; my $n = () = $text =~ /(?<=qu)ick\s+(\w+)/g; print "$n ", unpack("%32C*", $text), "\n";
eval { die { code => 42 } }; print "caught $@->{code}\n";
print sprintf("%.6f %s", atan2(1, 1) * 4, pack("N", 0x41424344)), "\n";
exit 7;
