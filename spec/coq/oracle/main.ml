(* The oracle: the extracted machine behind JSON lines on standard input and output. *)
open Machine

let version = "0.1.0"

let usage =
  "usage: oracle [--map hamt|list] [--cache]\n\
   Answers traces, one JSON line a request, by the machine of spec/coq.\n\
  \  --map hamt   contexts hold the trie (the default)\n\
  \  --map list   contexts hold the plain sorted list\n\
  \  --cache      get goes through the lookup cache, as in CPython\n\
   usage: oracle shapes\n\
   Answers the trie after each change, one JSON line an episode; shapes compares it with CPython's.\n"

(* Answers one request into the buffer. *)
let respond map through_cache b request =
  match Yojson.Safe.from_string request with
  | `Assoc fields ->
      let observe =
        match Steps.field "observe" fields with
        | `Int n -> max n 1
        | `Intlit _ -> max_int
        | _ -> Steps.malformed "`observe` is a number"
      in
      let steps =
        match Steps.field "steps" fields with
        | `List steps -> List.map Steps.step steps
        | _ -> Steps.malformed "`steps` is a list"
      in
      let last = List.length steps - 1 in
      let observations = Buffer.create 4096 in
      let state = ref initial in
      Buffer.add_string b "{\"answers\":[";
      List.iteri
        (fun i step ->
          let next, answer = perform map through_cache step !state in
          state := next;
          if i > 0 then Buffer.add_char b ',';
          Answers.answer b answer;
          if i = last || (i + 1) mod observe = 0 then (
            Buffer.add_string observations
              (Printf.sprintf "%s[%d," (if Buffer.length observations > 0 then "," else "") i);
            Answers.observation observations (Machine.observe map next);
            Buffer.add_char observations ']'))
        steps;
      Buffer.add_string b "],\"observations\":[";
      Buffer.add_buffer b observations;
      Buffer.add_string b "]}"
  | _ -> Steps.malformed "a request is an object"

let serve map through_cache =
  Printf.printf "{\"protocol\":1,\"engine\":{\"name\":\"coq\",\"version\":\"%s\"},\"python\":\"3.14\"}\n%!" version;
  let b = Buffer.create 65536 in
  let fail text =
    Buffer.clear b;
    Buffer.add_string b "{\"failure\":";
    Answers.text b text;
    Buffer.add_char b '}'
  in
  try
    while true do
      let request = input_line stdin in
      Buffer.clear b;
      (try respond map through_cache b request with
      | Steps.Malformed text -> fail text
      | Yojson.Json_error text -> fail ("a request is not JSON: " ^ text));
      Buffer.add_char b '\n';
      print_string (Buffer.contents b);
      flush stdout
    done
  with End_of_file -> ()

let () =
  match List.tl (Array.to_list Sys.argv) with
  | [ "--help" ] -> print_string usage
  | [ "shapes" ] -> Shapes.serve ()
  | arguments ->
      let rec parse list cache = function
        | [] -> if list then serve list_bindings cache else serve hamt_bindings cache
        | "--map" :: "hamt" :: rest -> parse false cache rest
        | "--map" :: "list" :: rest -> parse true cache rest
        | "--cache" :: rest -> parse list true rest
        | _ ->
            prerr_string usage;
            Stdlib.exit 2
      in
      parse false false arguments
