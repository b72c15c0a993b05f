(** The context as a mapping: what its methods and iterators answer. *)
From stdpp Require Import base numbers gmap strings list.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
Local Open Scope N_scope.

Section mapping.
  Context {M : Type} `{Bindings M}.
  Context (through_cache : bool).
  Implicit Types s : state M.
  Notation operate := (operate through_cache).

  (** MAP-1 to MAP-5, MAP-7: each method answers by what the map binds; the variable's default is not
      asked. No method changes anything. *)
  Theorem mapping_answers th name c v x s : names s !! name = Some c -> held_variable s v = Some x ->
    let found := find (key_of v x) (ctx_map (context_of s c)) in
    operate th (OpGetItem name (ObjectVariable v)) s =
      (s, match found with Some b => AnObject (object_of b) | None => Error (KeyError v) end) /\
    operate th (OpContains name (ObjectVariable v)) s = (s, Bool (present found)) /\
    forall given, operate th (OpContextGet name (ObjectVariable v) given) s =
      (s, AnObject (match found, given with
                    | Some b, _ => object_of b
                    | None, Some d => object_of d
                    | None, None => ObjectNone
                    end)).
  Proof.
    intros E F. cbn. unfold look_up. rewrite E, F. repeat split. intros given.
    destruct (find _ _); [reflexivity | destruct given; reflexivity].
  Qed.

  (** MAP-6. *)
  Theorem mapping_expects_variable th name c o s : names s !! name = Some c -> is_bound s o = true ->
    (forall v, o <> ObjectVariable v) ->
    operate th (OpGetItem name o) s = (s, Error (KeyExpected o)) /\
    operate th (OpContains name o) s = (s, Error (KeyExpected o)) /\
    forall given, operate th (OpContextGet name o given) s = (s, Error (KeyExpected o)).
  Proof.
    intros E B V. cbn. unfold look_up, refuse. rewrite E, B.
    destruct o; try (destruct (V _ eq_refl)); auto.
  Qed.

  (** MAP-8. *)
  Theorem length_counts th name c s : names s !! name = Some c ->
    operate th (OpContextLen name) s = (s, Count (count (ctx_map (context_of s c)))).
  Proof. intros E. cbn. unfold on_context. rewrite E. reflexivity. Qed.

  (** ITER-1 to ITER-3, ITER-5: an iterator is made of the items of its moment. *)
  Theorem iterator_made th name c made s : names s !! name = Some c -> iterators s !! made = None ->
    let it view := MkIterator view (items (ctx_map (context_of s c))) (count (ctx_map (context_of s c))) true in
    let with_it view := set_iterators (insert made (it view)) s in
    operate th (OpIter name made) s = (with_it Keys, Done) /\
    operate th (OpKeys name made) s = (with_it Keys, Done) /\
    operate th (OpValues name made) s = (with_it Values, Done) /\
    operate th (OpItems name made) s = (with_it Items, Done).
  Proof. intros E F. cbn. unfold iterate. rewrite E, F. auto. Qed.

  (** ITER-1 to ITER-5: next answers the first item that is left and takes it away; at the end it raises
      StopIteration, then and ever after. It asks no context. *)
  Theorem next_answers th id i s : held_iterator s id = Some i ->
    operate th (OpNext id) s =
      match it_left i with
      | [] => (s, Error StopIteration)
      | (k, b) :: rest =>
          (set_iterators (insert id (MkIterator (it_view i) rest (it_length i) (it_held i))) s,
           match it_view i with
           | Keys => AnObject (ObjectVariable (key_id k))
           | Values => AnObject (object_of b)
           | Items => Pair (key_id k) b
           end)
      end.
  Proof. intros E. cbn. unfold next. rewrite E. destruct (it_left i) as [|[k b] rest]; reflexivity. Qed.

  (** ITER-6: the length of an iterator is that of its map, whatever has been taken. *)
  Theorem iterator_length th id i s : held_iterator s id = Some i ->
    operate th (OpIteratorLen id) s = (s, Count (it_length i)).
  Proof. intros E. cbn. rewrite E. reflexivity. Qed.
End mapping.
