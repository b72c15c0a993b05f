(* The shape of the model's trie, for the comparison with CPython's.

   A request is a list of changes, [key, hash] to remove and [key, hash, value] to bind; the response
   is the list of the tries after each. B, A and C are bitmap, array and collision nodes; a pair is
   key=value. *)
open Machine

let rec node b = function
  | Leaf (k, v) -> pair b (k, v)
  | Branch (kind, slots) ->
      Buffer.add_string b (match kind with Bitmap -> "B(" | Array -> "A(");
      List.iter
        (fun (_, child) ->
          node b child;
          Buffer.add_char b ' ')
        slots;
      Buffer.add_char b ')'
  | Collision (_, pairs) ->
      Buffer.add_string b "C(";
      List.iter
        (fun p ->
          pair b p;
          Buffer.add_char b ' ')
        pairs;
      Buffer.add_char b ')'

and pair b (k, v) = Buffer.add_string b (Printf.sprintf "%d=%d" k.key_id v)

let change map = function
  | `List [ `Int id; hash ] -> hamt_without { key_id = id; key_hash = fold (Steps.u64 hash) } map
  | `List [ `Int id; hash; `Int value ] -> hamt_assoc { key_id = id; key_hash = fold (Steps.u64 hash) } value map
  | _ -> Steps.malformed "a change is [key, hash] or [key, hash, value]"

let respond b request =
  match Yojson.Safe.from_string request with
  | `List changes ->
      let map = ref hamt_empty in
      let shapes b c =
        map := change !map c;
        let shape = Buffer.create 256 in
        node shape !map.root;
        Answers.text b (Printf.sprintf "%d %s" !map.size (Buffer.contents shape))
      in
      Answers.list b shapes changes
  | _ -> Steps.malformed "an episode is a list of changes"

let serve () =
  let b = Buffer.create 65536 in
  try
    while true do
      let request = input_line stdin in
      Buffer.clear b;
      respond b request;
      Buffer.add_char b '\n';
      print_string (Buffer.contents b);
      flush stdout
    done
  with End_of_file -> ()
