(* From the outcomes of the model to the JSON of a trace. *)
open Machine

let add = Buffer.add_string

let text b s =
  Buffer.add_char b '"';
  (* Most texts are handles, which need no escape. *)
  String.iter
    (function
      | ('"' | '\\') as c ->
          Buffer.add_char b '\\';
          Buffer.add_char b c
      | '\000' .. '\031' as c -> add b (Printf.sprintf "\\u%04x" (Char.code c))
      | c -> Buffer.add_char b c)
    s;
  Buffer.add_char b '"'

let named kind n = kind ^ string_of_int n

let name_of_object = function
  | ObjectNone -> "None"
  | ObjectMissing -> "MISSING"
  | ObjectValue n -> named "val" n
  | ObjectVariable n -> named "var" n
  | ObjectToken n -> named "tok" n
  | ObjectContext n -> named "ctx" n
  | ObjectIterator n -> named "iter" n

let name_of_value = function
  | ValueNone -> "None"
  | Missing -> "MISSING"
  | Made n -> named "val" n

let int64 { high; low } = Int64.logor (Int64.shift_left (Int64.of_int high) 32) (Int64.of_int low)
let unsigned u = if u.high < 1 lsl 29 then string_of_int ((u.high lsl 32) lor u.low) else Printf.sprintf "%Lu" (int64 u)
let signed u = Printf.sprintf "%Ld" (int64 u)

let error b e =
  let kind ?payload name =
    add b "{\"error\":{\"kind\":\"";
    add b name;
    Buffer.add_char b '"';
    Option.iter
      (fun (field, value) ->
        add b ",\"";
        add b field;
        add b "\":";
        add b value)
      payload;
    add b "}}"
  in
  let handle field name = (field, "\"" ^ name ^ "\"") in
  match e with
  | AlreadyEntered c -> kind "already_entered" ~payload:(handle "context" (named "ctx" c))
  | NotEntered c -> kind "not_entered" ~payload:(handle "context" (named "ctx" c))
  | NotCurrent c -> kind "not_current" ~payload:(handle "context" (named "ctx" c))
  | TokenUsed t -> kind "token_used" ~payload:(handle "token" (named "tok" t))
  | TokenOfOtherVariable t -> kind "token_of_other_variable" ~payload:(handle "token" (named "tok" t))
  | TokenOfOtherContext t -> kind "token_of_other_context" ~payload:(handle "token" (named "tok" t))
  | TokenExpected o -> kind "token_expected" ~payload:(handle "object" (name_of_object o))
  | CapiTokenExpected -> kind "capi_token_expected"
  | CapiVariableExpected -> kind "capi_variable_expected"
  | CapiContextExpected -> kind "capi_context_expected"
  | KeyExpected o -> kind "key_expected" ~payload:(handle "object" (name_of_object o))
  | LookupError v -> kind "lookup" ~payload:(handle "variable" (named "var" v))
  | KeyError v -> kind "key" ~payload:(handle "variable" (named "var" v))
  | StopIteration -> kind "stop_iteration"
  | Raised -> kind "raised"
  | EqualityRaised v -> kind "equality_raised" ~payload:(handle "value" (named "val" v))
  | TokensOnlyByVariables -> kind "tokens_only_by_variables"
  | ContextTakesNoArguments -> kind "context_takes_no_arguments"
  | CallableMissing -> kind "callable_missing"
  | NameNotStr -> kind "name_not_str"
  | NoMoreWatchers -> kind "no_more_watchers"
  | InvalidWatcher id -> kind "invalid_watcher" ~payload:("id", string_of_int id)
  | WatcherNotSet id -> kind "watcher_not_set" ~payload:("id", string_of_int id)
  | Unspecified e ->
      let name = match e with TypeError -> "TypeError" | AttributeError -> "AttributeError" in
      kind "unspecified" ~payload:(handle "exception" name)

let outcome b o =
  let one tag value =
    add b "{\"";
    add b tag;
    add b "\":";
    add b value;
    Buffer.add_char b '}'
  in
  match o with
  | Done -> add b "\"none\""
  | AnObject o -> one "object" ("\"" ^ name_of_object o ^ "\"")
  | Pair (v, bound) -> one "pair" ("[\"" ^ named "var" v ^ "\",\"" ^ name_of_value bound ^ "\"]")
  | Bool x -> one "bool" (string_of_bool x)
  | Count n -> one "count" (string_of_int n)
  | Hash u -> one "hash" (signed u)
  | Text pieces ->
      let piece = function Literal s -> s | Handle o -> name_of_object o in
      add b "{\"text\":";
      text b (String.concat "" (List.map piece pieces));
      Buffer.add_char b '}'
  | ContextVer u -> one "context_ver" (unsigned u)
  | Called -> add b "\"called\""
  | NotFound -> add b "\"not_found\""
  | Cache None -> add b "{\"cache\":null}"
  | Cache (Some { cached_value; cached_thread; cached_ver }) ->
      add b
        (Printf.sprintf "{\"cache\":{\"value\":\"%s\",\"thread\":\"thread%d\",\"context_ver\":%s}}"
           (name_of_value cached_value) cached_thread (unsigned cached_ver))
  | Error e -> error b e
  | Skipped -> add b "\"skipped\""
  | Unsupported -> add b "\"unsupported\""

let event b { event_watcher; event_current } =
  let current =
    match event_current with
    | Null -> "\"null\""
    | Unnamed -> "\"unnamed\""
    | Named c -> "{\"named\":\"ctx" ^ string_of_int c ^ "\"}"
  in
  add b (Printf.sprintf "{\"watcher\":\"watcher%d\",\"current\":%s}" event_watcher current)

let list b write = function
  | [] -> add b "[]"
  | first :: rest ->
      Buffer.add_char b '[';
      write b first;
      List.iter
        (fun x ->
          Buffer.add_char b ',';
          write b x)
        rest;
      Buffer.add_char b ']'

let answer b (o, events) =
  add b "{\"outcome\":";
  outcome b o;
  if events <> [] then (
    add b ",\"events\":";
    list b event events);
  Buffer.add_char b '}'

(* By ascending handle. *)
let sorted l = List.sort (fun (a, _) (b, _) -> Int.compare a b) l

let observation b (contexts, tokens) =
  let binding b (v, bound) = add b ("[\"" ^ named "var" v ^ "\",\"" ^ name_of_value bound ^ "\"]") in
  let context b (name, bindings) =
    add b ("{\"context\":\"" ^ named "ctx" name ^ "\",\"bindings\":");
    list b binding bindings;
    Buffer.add_char b '}'
  in
  let token b (id, ((variable, old), used)) =
    add b
      (Printf.sprintf "{\"token\":\"tok%d\",\"variable\":\"var%d\",\"old_value\":\"%s\",\"used\":%b}" id variable
         (name_of_value old) used)
  in
  add b "{\"contexts\":";
  list b context (sorted contexts);
  add b ",\"tokens\":";
  list b token (sorted tokens);
  Buffer.add_char b '}'
