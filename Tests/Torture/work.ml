(* Allocation, exceptions and closures: the collector looks at every frame. *)
exception Found of int

let rec fibonacci n = if n < 2 then n else fibonacci (n - 1) + fibonacci (n - 2)
let many a b c d e f g h i j k l = a + b + c + d + e + f + g + h + i + j * k - l

let () =
  let table = Hashtbl.create 10 in
  for i = 1 to 20_000 do Hashtbl.replace table i (string_of_int (fibonacci (i mod 15))) done;
  let sum = Hashtbl.fold (fun key value sum -> sum + key + int_of_string value) table 0 in
  let found = try (if sum > 3 then raise (Found sum)); 0 with Found n -> n in
  Printf.printf "%d %d %d\n" sum found (many 1 2 3 4 5 6 7 8 9 10 11 sum);
  let sorted = List.sort compare (List.init 10_000 (fun i -> (i * 7919) mod 10_007)) in
  print_endline (String.concat "," (List.map string_of_int (List.filteri (fun i _ -> i mod 1000 = 0) sorted)))
