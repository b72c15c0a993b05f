(* From the JSON of a trace's steps to the operations of the model. *)
open Machine

exception Malformed of string

let malformed text = raise (Malformed text)

let field name fields =
  match List.assoc_opt name fields with
  | Some value -> value
  | None -> malformed ("a step has no `" ^ name ^ "`")

let text = function `String s -> s | _ -> malformed "a text was expected"

let number_at s start =
  let n = String.length s in
  if n <= start then malformed ("`" ^ s ^ "` has no number");
  let rec digits i sum =
    if i = n then sum
    else
      match s.[i] with
      | '0' .. '9' as c when sum < 1 lsl 32 -> digits (i + 1) ((10 * sum) + Char.code c - 48)
      | _ -> malformed ("`" ^ s ^ "` is not a handle")
  in
  digits start 0

let handle prefix json =
  let s = text json in
  if String.starts_with ~prefix s then number_at s (String.length prefix)
  else malformed ("`" ^ s ^ "` is not a handle of the kind `" ^ prefix ^ "`")

let value json =
  match text json with
  | "None" -> ValueNone
  | "MISSING" -> Missing
  | _ -> Made (handle "val" json)

let object_ json =
  match text json with
  | "None" -> ObjectNone
  | "MISSING" -> ObjectMissing
  | s when String.length s > 3 -> (
      match (String.sub s 0 3, s) with
      | "val", _ -> ObjectValue (number_at s 3)
      | "var", _ -> ObjectVariable (number_at s 3)
      | "tok", _ -> ObjectToken (number_at s 3)
      | "ctx", _ -> ObjectContext (number_at s 3)
      | "ite", _ -> ObjectIterator (handle "iter" json)
      | _ -> malformed ("`" ^ s ^ "` is not an object"))
  | s -> malformed ("`" ^ s ^ "` is not an object")

(* 64 bits, signed or not, as two halves. *)
let u64 : Yojson.Safe.t -> u64 =
  let halves high low = { high; low } in
  function
  | `Int n -> halves ((n asr 32) land 0xffffffff) (n land 0xffffffff)
  | `Intlit s -> (
      let n = if s.[0] = '-' then Int64.of_string_opt s else Int64.of_string_opt ("0u" ^ s) in
      match n with
      | Some n ->
          halves
            (Int64.to_int (Int64.shift_right_logical n 32))
            (Int64.to_int (Int64.logand n 0xffffffffL))
      | None -> malformed ("`" ^ s ^ "` is no number of 64 bits"))
  | _ -> malformed "a number was expected"

let int = function `Int n -> n | _ -> malformed "a small number was expected"
let optional read name fields = Option.map read (List.assoc_opt name fields)

let equality = function
  | `String "never" -> Never
  | `String "raises" -> Raises
  | `Assoc [ ("group", `Int n) ] -> Group n
  | _ -> malformed "`equality` is `never`, `raises` or a group"

let action = function
  | "construct_with_unknown_keyword" -> ConstructWithUnknownKeyword
  | "construct_with_name_not_str" -> ConstructWithNameNotStr
  | "count_name_hashes" -> CountNameHashes
  | "construct" -> Construct
  | "subscript" -> Subscript
  | "subclass" -> Subclass
  | "weak_reference" -> WeakReference
  | "pickle" -> Pickle
  | "copy_copy" -> CopyCopy
  | "set_attribute" -> SetAttribute
  | "set_read_only" -> SetReadOnly
  | "set_item" -> SetItem
  | "order" -> Order
  | "truth" -> Truth
  | "is_mapping" -> IsMapping
  | "run_without_callable" -> RunWithoutCallable
  | "run_with_keywords" -> RunWithKeywords
  | "run_not_callable" -> RunNotCallable
  | "exit_without_arguments" -> ExitWithoutArguments
  | s -> malformed ("`" ^ s ^ "` is not an action")

(* User code is not part of the model; the tester gives the oracle no trace that has some. *)
let refuse_programs fields =
  List.iter
    (fun name ->
      match List.assoc_opt name fields with
      | None | Some (`List []) -> ()
      | Some _ -> malformed ("`" ^ name ^ "` is a program, and the model runs none"))
    [ "on_compare"; "on_drop"; "on_hash" ]

let operation fields =
  let get read name = read (field name fields) in
  let value_at = get value and object_at = get object_ in
  let variable () = get (handle "var") "variable" and made_variable () = get (handle "var") "as" in
  let context () = get (handle "ctx") "context" and made_context () = get (handle "ctx") "as" in
  let token () = get (handle "tok") "token" and made_token () = get (handle "tok") "as" in
  let iterator () = get (handle "iter") "iterator" and made_iterator () = get (handle "iter") "as" in
  let default () = optional value "default" fields in
  match get text "op" with
  | "ContextVar.get" -> OpVarGet (variable (), default ())
  | "ContextVar.set" -> OpVarSet (variable (), value_at "value", made_token ())
  | "ContextVar.reset" -> OpVarReset (variable (), object_at "token")
  | "value" ->
      refuse_programs fields;
      OpValue (get equality "equality", get (handle "val") "as")
  | "ContextVar" ->
      refuse_programs fields;
      OpContextVar (get text "name", optional u64 "hash" fields, default (), made_variable ())
  | "ContextVar.name" -> OpVarName (variable ())
  | "Token.var" -> OpTokenVar (token ())
  | "Token.old_value" -> OpTokenOldValue (token ())
  | "Token.__enter__" -> OpTokenEnter (token ())
  | "Token.__exit__" -> OpTokenExit (token ())
  | "Context" -> OpContext (made_context ())
  | "copy_context" -> OpCopyContext (made_context ())
  | "Context.copy" -> OpContextCopy (get (handle "ctx") "source", made_context ())
  | "Context.run" -> OpRun (context ())
  | "return" -> OpReturn
  | "raise" -> OpRaise
  | "Context.__getitem__" -> OpGetItem (context (), object_at "key")
  | "Context.__contains__" -> OpContains (context (), object_at "key")
  | "Context.get" -> OpContextGet (context (), object_at "key", default ())
  | "Context.__len__" -> OpContextLen (context ())
  | "Context.__iter__" -> OpIter (context (), made_iterator ())
  | "Context.keys" -> OpKeys (context (), made_iterator ())
  | "Context.values" -> OpValues (context (), made_iterator ())
  | "Context.items" -> OpItems (context (), made_iterator ())
  | "next" -> OpNext (iterator ())
  | "len" -> OpIteratorLen (iterator ())
  | "==" -> OpEqual (object_at "left", object_at "right")
  | "!=" -> OpNotEqual (object_at "left", object_at "right")
  | "repr" -> OpRepr (object_at "object")
  | "hash" -> OpHash (object_at "object")
  | "attempt" -> OpAttempt (action (get text "action"), object_at "object")
  | "weakref.ref" -> OpWeakReference (context (), get (handle "ref") "as")
  | "dereference" -> OpDereference (get (handle "ref") "reference")
  | "del" -> OpDrop (object_at "object")
  | "PyContext_New" -> OpCapiNew (made_context ())
  | "PyContext_Copy" -> OpCapiCopy (object_at "source", made_context ())
  | "PyContext_CopyCurrent" -> OpCapiCopyCurrent (made_context ())
  | "PyContext_Enter" -> OpEnter (object_at "context")
  | "PyContext_Exit" -> OpExit (object_at "context")
  | "PyContextVar_New" -> OpCapiVarNew (get text "name", default (), made_variable ())
  | "PyContextVar_Get" -> OpCapiVarGet (object_at "variable", default ())
  | "PyContextVar_Set" -> OpCapiVarSet (object_at "variable", value_at "value", made_token ())
  | "PyContextVar_Reset" -> OpCapiVarReset (object_at "variable", object_at "token")
  | "PyContext_AddWatcher" ->
      let fails = List.assoc_opt "fails" fields = Some (`Bool true) in
      OpAddWatcher (fails, get (handle "watcher") "as")
  | "PyContext_ClearWatcher" ->
      let id = get int "id" in
      OpClearWatcher ((if id < 0 then None else Some id), id)
  | "start_new_thread" -> OpStartThread (get (handle "thread") "as")
  | "end_thread" -> OpEndThread
  | "cache" -> OpCache (variable ())
  | "context_ver" -> OpContextVer
  | "set_context_ver" -> OpSetContextVer (get u64 "context_ver")
  | "has_current_context" -> OpHasCurrentContext
  | s -> malformed ("`" ^ s ^ "` is not an operation of this model")

let step : Yojson.Safe.t -> step = function
  | `Assoc fields ->
      let thread = Option.value (optional (handle "thread") "thread" fields) ~default:0 in
      { step_thread = thread; step_operation = operation fields }
  | _ -> malformed "a step is an object"
